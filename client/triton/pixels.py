"""Pixels in memory as files, and files as pixels: what a server takes and gives, for Python."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def bitmap(pixels: Pixels) -> bytes:
    """Pixels uint8 [H,W,3] as a BMP file: written and read at the speed of memory, without a library.

    Raises ValueError for anything else.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"a photo as an array must be uint8 [H,W,3], not {pixels.dtype} {list(pixels.shape)}")
    height, width = pixels.shape[:2]
    stride = (3 * width + 3) // 4 * 4  # every row starts at a multiple of four bytes
    body = np.zeros((height, stride), np.uint8)
    body[:, : 3 * width] = pixels[::-1, :, ::-1].reshape(height, 3 * width)  # bottom up, blue first
    file_header = struct.pack("<2sIHHI", b"BM", 54 + body.size, 0, 0, 54)
    info_header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, body.size, 0, 0, 0, 0)
    return file_header + info_header + body.tobytes()


def decode(image: bytes | memoryview) -> Pixels:
    """An image file as uint8 [H,W,3], or [H,W] of a gray one. Raises ImportError, a sentence, without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Pillow is missing, which turns files into arrays; run `pip install pillow`, or install "
            "relight-triton[client]"
        ) from error
    return np.array(Image.open(io.BytesIO(image)))
