"""Encodes pixels as PNG files: one filter per image, then ISA-L's fast deflate.

By hand because Pillow, which tries five filters on each row, takes over 30 times as long for files of about the same
size, and OpenCV over four times for larger ones.
"""

import struct

import cv2
import numpy as np
import numpy.typing as npt
from isal import igzip_lib, isal_zlib

Pixels = npt.NDArray[np.uint8]
DeepPixels = npt.NDArray[np.uint16]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB = 0, 2
# What a colour file says of its colours, by kind and body of a chunk: sRGB and perceptual, or a gamma of 1 and the
# primaries and white of Rec. 709; data are no colours.
_SPACES: dict[str, tuple[tuple[bytes, bytes], ...]] = {
    "srgb": ((b"sRGB", b"\0"),),
    "linear": (
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"cHRM", struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000)),
    ),
    "data": (),
}
_UP, _PAETH = 2, 4
_LEVEL = 1  # ISA-L's level 0 gives twice the bytes; 2 and 3 take longer and save nothing
# By bytes per pixel, log2 of the bytes that deflate looks back: filtered photos and masks repeat only the last few.
_WINDOW_BITS = {1: 3, 2: 10, 3: 3, 6: 2}
_BUSY = 0.55  # share of bytes that differ from those above; about 0.4 in a portrait over gray
_BLOCK_BYTES = 200_000  # filtered at a time, so that five such arrays stay in a core's cache


def encode_png(pixels: Pixels | DeepPixels, space: str = "srgb") -> bytes:
    """Encode uint8 or uint16 values, [H, W, 3] or, in gray, [H, W]. The same pixels give the same bytes.

    space: what the values of three channels are, "srgb", "linear" or "data".
    Raises ValueError for another shape or type.
    """
    is_rgb = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.size == 0 or not (is_rgb or pixels.ndim == 2):
        raise ValueError(f"A PNG is made of uint8 or uint16 [H, W, 3] or [H, W], not {pixels.dtype} {pixels.shape}.")
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    pixel_bytes = rows.shape[1] // width
    # Paeth saves a tenth of Up's bytes for a filter's time that is short only beside the deflate of a busy photo.
    above, below = rows[:-1:16], rows[1::16]
    is_busy = pixel_bytes == 3 and np.count_nonzero(above != below) > _BUSY * below.size
    filtered = _filter_paeth(rows, pixel_bytes) if is_busy else _filter_up(rows)
    body = igzip_lib.compress(filtered, _LEVEL, igzip_lib.COMP_ZLIB, hist_bits=_WINDOW_BITS[pixel_bytes])
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, _RGB if is_rgb else _GRAY, 0, 0, 0)
    chunks = ((b"IHDR", header), *(_SPACES[space] if is_rgb else ()), (b"IDAT", body), (b"IEND", b""))
    return b"".join((_SIGNATURE, *(part for chunk in chunks for part in _chunk(*chunk))))


def _filter_up(rows: Pixels) -> Pixels:
    """Each byte less the one above: uint8 [H, N] → [H, 1 + N], each row after its filter's number (PNG, 9.2)."""
    filtered = np.empty((rows.shape[0], 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]  # above the first row there are zeros
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _filter_paeth(rows: Pixels, pixel_bytes: int) -> Pixels:
    """Each byte less the neighbour nearest to left + up - corner (PNG, 9.4); the first two rows by `_filter_up`.

    With low and high for the lesser and the greater of left and up, the nearest is low where 2·(high - corner) ≤
    corner - low, high where 2·(corner - low) ≤ high - corner, else the corner. OpenCV's differences stop at 0, so that
    this also holds where the corner is not between the two, and nothing needs more than a byte.
    """
    height, row_bytes = rows.shape
    filtered = np.empty((height, 1 + row_bytes), np.uint8)
    filtered[:2] = _filter_up(rows[:2])
    filtered[2:, 0] = _PAETH
    flat, count = rows.reshape(-1), max(1, _BLOCK_BYTES // row_bytes)
    buffers = np.empty((4, count, row_bytes), np.uint8)
    for first in range(2, height, count):
        block = rows[first : first + count]
        starts = (first * row_bytes - back for back in (pixel_bytes, row_bytes, row_bytes + pixel_bytes))
        left, up, corner = (flat[start : start + block.size].reshape(block.shape) for start in starts)
        over, under, is_low, is_high = buffers[:, : len(block)]
        cv2.subtract(cv2.max(left, up, over), corner, over)  # high - corner
        cv2.subtract(corner, cv2.min(left, up, under), under)  # corner - low
        apart = cv2.absdiff(over, under, is_high)
        cv2.bitwise_and(cv2.compare(over, apart, cv2.CMP_LE, is_low), under, is_low)
        cv2.bitwise_and(cv2.compare(under, apart, cv2.CMP_LE, is_high), over, is_high)
        predicted = cv2.add(cv2.subtract(corner, is_low, is_low), is_high, is_low)
        np.subtract(block, predicted, out=filtered[first : first + count, 1:])
    # A row's first pixel has zeros on its left: the one above is the nearest.
    np.subtract(rows[2:, :pixel_bytes], rows[1:-1, :pixel_bytes], out=filtered[2:, 1 : 1 + pixel_bytes])
    return filtered


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Length and kind, body, checksum, unjoined so that the body is copied once."""
    checksum = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return struct.pack(">I4s", len(body), kind), body, struct.pack(">I", checksum)
