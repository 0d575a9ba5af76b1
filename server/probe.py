"""Asks a server for one real inference: ready alone can be true while a model's process is dead."""

import struct
import zlib

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton


def answers_inference(grpc_url: str, timeout: float) -> bool:
    """Return whether the ensemble answers for a small gray photo (a refusal of the photo is an answer too).

    Args:
        grpc_url: host:port.
        timeout: seconds to wait for the answer of a server that is ready.

    Raises:
        triton.InferenceServerException: a model of a ready server fails, or takes longer.
    """
    with triton.InferenceServerClient(grpc_url) as client:
        try:
            if not client.is_server_ready(client_timeout=2.0):
                return False
        except triton.InferenceServerException:
            return False  # not listening yet
        inputs = [
            text_input("IMAGE", gray_png(64)),
            text_input("PROMPT", b"person"),
            float_input("THRESHOLDS", np.zeros((1, 2), np.float32)),
            float_input("LIGHT", overhead_light()),
            text_input("FILES", b"mask;png"),
        ]
        client.infer("relight", inputs, outputs=[triton.InferRequestedOutput("INFO")], client_timeout=timeout)
        return True


def text_input(name: str, value: bytes) -> triton.InferInput:
    """A STRING[1] input of batch 1."""
    tensor = triton.InferInput(name, [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value]], dtype=object))
    return tensor


def float_input(name: str, value: npt.NDArray[np.float32]) -> triton.InferInput:
    """An FP32 input."""
    tensor = triton.InferInput(name, list(value.shape), "FP32")
    tensor.set_data_from_numpy(value)
    return tensor


def overhead_light() -> npt.NDArray[np.float32]:
    """One white light from the camera, float32 [1,1,16]."""
    light = np.zeros((1, 1, 16), np.float32)
    light[..., 2] = light[..., 3] = 1.0
    light[..., 6] = 32.0
    light[..., 11:14] = 1.0
    return light


def gray_png(side: int) -> bytes:
    """A gray PNG by hand, so that the server needs no image library."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
