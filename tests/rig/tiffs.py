"""Writes the TIFFs that no library writes: any number of samples, planes, tiles, either byte order, BigTIFF."""

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.integer[Any]]


def tiff(
    samples: Samples,
    *,
    photometric: int = 2,
    extra: tuple[int, ...] = (),
    planar: bool = False,
    tile: int = 0,
    deflate: bool = False,
    order: str = "<",
    big: bool = False,
    tags: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A TIFF of uint8 or uint16 samples [H,W,S].

    Args:
        samples: what to store.
        photometric: 0 or 1 gray, 2 RGB, 5 CMYK.
        extra: what each sample beyond the colours means.
        planar: whether each sample has a plane of its own.
        tile: side of the tiles; 0 for strips of seven rows.
        deflate: compress, with horizontal differences.
        order: < little-endian, > big-endian.
        big: BigTIFF.
        tags: more tags, or others.
    """
    height, width, count = samples.shape
    bits = samples.dtype.itemsize * 8
    planes = [samples[..., index : index + 1] for index in range(count)] if planar else [samples]
    columns, rows = (tile, tile) if tile else (width, 7)
    blocks = []
    for plane in planes:
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                block = plane[top : top + rows, left : left + columns]
                if tile:
                    padding = ((0, tile - block.shape[0]), (0, tile - block.shape[1]), (0, 0))
                    block = np.pad(block, padding)
                if deflate:
                    block = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
                stored = block.astype(f"{order}u{bits // 8}").tobytes()
                blocks.append(zlib.compress(stored) if deflate else stored)
    start = 16 if big else 8
    offsets = [start + sum(map(len, blocks[:index])) for index in range(len(blocks))]
    values: dict[int, tuple[int, ...]] = {
        **{256: (width,), 257: (height,), 258: (bits,) * count, 259: (8 if deflate else 1,), 262: (photometric,)},
        **{277: (count,), 284: (2 if planar else 1,), 317: (2 if deflate else 1,)},
        **({338: extra} if extra else {}),
        **({322: (tile,), 323: (tile,)} if tile else {278: (rows,)}),
        **{(324 if tile else 273): tuple(offsets), (325 if tile else 279): tuple(map(len, blocks))},
        **(tags or {}),
    }
    content = b"".join(blocks)
    return _with_directory(content + bytes(len(content) % 2), values, order, big)


def _with_directory(content: bytes, values: dict[int, tuple[int, ...]], order: str, big: bool) -> bytes:
    start, inline, number = (16, 8, "Q") if big else (8, 4, "I")
    arrays, entries = b"", b""
    for tag in sorted(values):
        packed = struct.pack(f"{order}{len(values[tag])}I", *values[tag])  # all of type LONG
        if len(packed) > inline:
            place = start + len(content) + len(arrays)
            arrays += packed
            packed = struct.pack(f"{order}{number}", place)
        entries += struct.pack(f"{order}HH{number}", tag, 4, len(values[tag])) + packed.ljust(inline, b"\0")
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(values)) + entries + bytes(inline)
    mark, place = b"II" if order == "<" else b"MM", start + len(content) + len(arrays)
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, place) if big else struct.pack(f"{order}HI", 42, place)
    return mark + head + content + arrays + directory
