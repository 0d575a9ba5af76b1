"""PNG files in the tests: their chunks, as a strict reader takes them, and their pixels of any depth."""

import struct
import zlib
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
DeepPixels = npt.NDArray[np.uint16]


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and bodies, as a strict reader takes them: signature, checksums, nothing left over."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    assert at == len(data)
    return found


def read_by_opencv(data: bytes) -> Pixels | DeepPixels:
    """uint8 or uint16, [H, W, 3] in RGB or [H, W]."""
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.dtype in (np.uint8, np.uint16)
    return cast(Pixels | DeepPixels, read[..., ::-1] if read.ndim == 3 else read)
