"""Writes PNG at a small fraction of a general encoder's cost: one filter for all rows, ISA-L's deflate.

Trying the five filters row by row, as encoders do, costs more than it saves on photos: Average saves 2-3 % of the bytes
on some and adds as much on others, Paeth saves 7 % for five times the time, Sub adds 3 %. ISA-L's level 1 is the knee:
level 0 adds 14-20 % of the bytes for at most 20 % less time, level 2 saves under 1 %.
"""

import struct

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

Pixels = npt.NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _RGB = 0, 2
_UP = 2
_PERCEPTUAL = b"\0"


def write_png(pixels: Pixels) -> bytes:
    """Encode uint8 [H, W, 3] as an sRGB or [H, W] as a gray PNG. Same pixels, same bytes.

    Raises ValueError for another shape or type.
    """
    is_rgb = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or pixels.size == 0 or not (is_rgb or pixels.ndim == 2):
        raise ValueError(f"A PNG is written from uint8 [H, W, 3] or [H, W], not {pixels.dtype} {pixels.shape}.")
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB if is_rgb else _GRAY, 0, 0, 0)
    return b"".join(
        [
            _SIGNATURE,
            *_chunk(b"IHDR", header),
            *(_chunk(b"sRGB", _PERCEPTUAL) if is_rgb else ()),
            *_chunk(b"IDAT", isal_zlib.compress(_filtered_up(pixels), 1)),
            *_chunk(b"IEND", b""),
        ]
    )


def _filtered_up(pixels: Pixels) -> Pixels:
    """Each row less the one above it, after its filter byte: uint8 [H, 1 + W·channels]."""
    rows = pixels.reshape(len(pixels), -1)
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]  # the row above the first counts as zeros
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _chunk(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes]:
    """Length and kind, body, checksum, unjoined so that the body is copied once."""
    checksum = isal_zlib.crc32(body, isal_zlib.crc32(kind))
    return struct.pack(">I4s", len(body), kind), body, struct.pack(">I", checksum)
