"""Asks a server for one real inference: it says that it is ready even after a model's process has died."""

import io
import json
import struct
from collections.abc import Mapping

from PIL import Image

from contract.light import LIGHT, SCENE, row_of
from contract.names import ENSEMBLE
from server.http_api import HEADER_LENGTH, NotListeningError, RefusedError, ask

READY_TIMEOUT = 2.0  # seconds; a server that is up answers in milliseconds


def answers_inference(http_url: str, timeout: float, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether a server is ready; if it is, its ensemble has answered for a small gray photo.

    Triton opens its gRPC port before its HTTP port: where this answers, gRPC is open too.

    Args:
        http_url: host:port.
        timeout: seconds to wait for the answer of a server that is ready.
        headers: what inference asks for, such as an API key.

    Raises:
        RefusedError: a model of a ready server fails, or takes longer.
        NotListeningError: the server was ready and has ended since.
    """
    try:
        ask(http_url, "/v2/health/ready", timeout=READY_TIMEOUT)
    except (NotListeningError, RefusedError):
        return False
    header, tensors = inference_request()
    lengths = {HEADER_LENGTH: str(len(header)), **(headers or {})}
    ask(http_url, f"/v2/models/{ENSEMBLE}/infer", header + tensors, headers=lengths, timeout=timeout)
    return True


def inference_request() -> tuple[bytes, bytes]:
    """The JSON of a request for INFO, and the bytes of its tensors; nothing is refused at thresholds of zero."""
    tensors = (
        ("IMAGE", "BYTES", [1, 1], text(gray_png(64))),
        ("PROMPT", "BYTES", [1, 1], text(b"person")),
        ("THRESHOLDS", "FP32", [1, 2], struct.pack("<2f", 0.0, 0.0)),
        (LIGHT, "FP32", [1, 1, 1, 16], struct.pack("<16f", *row_of(LIGHT, {}))),
        (SCENE, "FP32", [1, 1, 32], struct.pack("<32f", *row_of(SCENE, {}))),
        ("FILES", "BYTES", [1, 1], text(b"mask;png")),
        ("BACKDROP", "BYTES", [1, 1], text(b"")),
    )
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(content)}}
        for name, kind, shape, content in tensors
    ]
    header = json.dumps({"inputs": inputs, "outputs": [{"name": "INFO"}]}).encode()
    return header, b"".join(content for *_, content in tensors)


def text(value: bytes) -> bytes:
    """The one element of a STRING tensor: its length in four bytes, then itself."""
    return struct.pack("<I", len(value)) + value


def gray_png(side: int) -> bytes:
    """A gray photo's PNG."""
    file = io.BytesIO()
    Image.new("L", (side, side), 128).save(file, "PNG")
    return file.getvalue()
