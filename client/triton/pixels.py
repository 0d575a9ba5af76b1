"""Converts pixels in memory to the image files of requests, and those of answers to pixels."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def bitmap(pixels: Pixels) -> bytes:
    """Encode pixels, uint8 [H,W,3], as a BMP file, which needs no compression or library. Raises ValueError."""
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
    """Decode an image file to uint8 [H,W,3], or [H,W] if it is gray. Raises ImportError, a sentence, without Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Pillow is missing, which decodes the pictures; run `pip install pillow`, or install relight-triton[client]"
        ) from error
    return np.array(Image.open(io.BytesIO(image)))
