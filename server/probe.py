"""Asks a server for one real inference: ready alone can be true while a model's process is dead."""

import json
import struct
import zlib
from collections.abc import Mapping

from contract.light import LIGHT, SCENE, row_of
from server.http_api import HEADER_LENGTH, NotListeningError, RefusedError, ask

READY_TIMEOUT = 2.0  # seconds; a server that is up answers in milliseconds


def answers_inference(http_url: str, timeout: float, headers: Mapping[str, str] | None = None) -> bool:
    """Return whether a server is ready; if it is, its ensemble has answered for a small gray photo.

    Triton opens its HTTP port after its gRPC port, so that is open as well.

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
    ask(http_url, "/v2/models/relight/infer", header + tensors, headers=lengths, timeout=timeout)
    return True


def inference_request() -> tuple[bytes, bytes]:
    """The JSON of a request for INFO, and the bytes of its tensors; nothing is refused at thresholds of zero."""
    tensors = (
        ("IMAGE", "BYTES", [1, 1], text(gray_png(64))),
        ("PROMPT", "BYTES", [1, 1], text(b"person")),
        ("THRESHOLDS", "FP32", [1, 2], struct.pack("<2f", 0.0, 0.0)),
        ("LIGHT", "FP32", [1, 1, 16], struct.pack("<16f", *row_of(LIGHT, {}))),
        ("SCENE", "FP32", [1, 1, 32], struct.pack("<32f", *row_of(SCENE, {}))),
        ("FILES", "BYTES", [1, 1], text(b"mask;png")),
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
    """A gray PNG by hand, so that the server needs no image library."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
