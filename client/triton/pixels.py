"""Converts pixels in memory to the image files of requests, and those of answers to arrays."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.files import COLOURS, DEEPEST, WHITE

Pixels = NDArray[np.uint8]

_PNG, _PNG_DEPTH_AT, _PNG_UP = b"\x89PNG\r\n\x1a\n", 24, 2  # signature, place of the bits per value, filter


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


def decode(image: bytes | memoryview) -> NDArray[Any]:
    """Decode an image file to uint8 or uint16, [H,W,3] or, if it is gray, [H,W].

    Raises ImportError, a sentence, without Pillow.
    """
    if bytes(image[:8]) == _PNG and image[_PNG_DEPTH_AT] == 16:
        return _decode_deep(image)
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Pillow is missing, which decodes the pictures; run `pip install pillow`, or install relight-triton[client]"
        ) from error
    return np.array(Image.open(io.BytesIO(image)))


def _decode_deep(image: bytes | memoryview) -> NDArray[np.uint16]:
    """Decode a PNG of 16 bits as the server writes it, which Pillow would cut to 8: each row less the one above.

    Raises ValueError for another PNG.
    """
    width, height, _, color = struct.unpack_from(">IIBB", image, _PNG_DEPTH_AT - 8)
    channels, at, body = {0: 1, 2: 3}.get(color, 0), len(_PNG), []
    while at < len(image):
        size, kind = struct.unpack_from(">I4s", image, at)
        if kind == b"IDAT":
            body.append(image[at + 8 : at + 8 + size])
        at += size + 12
    rows = np.frombuffer(zlib.decompress(b"".join(body)), np.uint8).reshape(height, -1)
    if rows.shape[1] != 1 + 2 * channels * width or (rows[:, 0] != _PNG_UP).any():
        raise ValueError("the server sent a PNG of an unknown kind; client and server are of different versions")
    values = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8).view(">u2").astype(np.uint16)
    return values.reshape((height, width, 3) if channels == 3 else (height, width))


def read_picture(name: str, image: bytes | memoryview) -> NDArray[Any]:
    """Decode a file that the server made in the format `png`: pictures and masks as `decode` does, maps as float32.

    `alpha` [H,W] is 0–1, `normal` [H,W,3] has length 1, `depth` [H,W] is in standard deviations of the person, and
    `shading` [H,W,3] is linear. Raises ImportError and ValueError as `decode` does.
    """
    pixels = decode(image)
    if name in COLOURS or name == "mask":
        return pixels
    if name == "shading":
        return (pixels / np.float32(WHITE)).astype(np.float32)
    share: NDArray[Any] = pixels / np.float32(np.iinfo(pixels.dtype).max)
    if name == "depth":
        return (share * 2 - 1) * np.float32(DEEPEST)
    if name == "normal":
        share = share * 2 - 1
        share = share / np.linalg.norm(share, axis=-1, keepdims=True)
    return share
