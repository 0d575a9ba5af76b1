"""Pixels of the TIFFs that no library reads whole: 16 bits a sample, separate planes, samples beside the colours.

libtiff only decompresses here: it is given a directory of our own that calls every row of the picture a row of gray
bytes. What the bytes mean (order, predictor, planes, extra samples) is a few lines of NumPy. OpenCV 4.11 leaves memory
unfilled on such files, Pillow keeps the upper half of each sample, and tifffile wants imagecodecs for LZW.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from refusals import damaged, unsupported
from tiff_directory import BYTEWISE, COLORS, PREDICTED, UNCOMPRESSED, Picture

Samples = npt.NDArray[Any]  # of uint8 or uint16

_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_LONG = 4  # the type of every value of the directory


def read_layers(data: bytes, picture: Picture) -> tuple[Image.Image, Image.Image | None]:
    """The colours (L, RGB or CMYK, 8 bits, rounded to the nearest, not turned), and alpha (L) if there is one.

    Colours that were multiplied with alpha are divided by it, so that both kinds are blended alike.
    Raises PhotoError for a compression of 16-bit samples that is not read; whatever Pillow raises for damaged data.
    """
    samples = _read_samples(data, picture)
    colors = samples[..., : COLORS[picture.photometric]]
    if colors.shape[2] < COLORS[picture.photometric]:
        raise unsupported(f"TIFF of {picture.samples} samples a pixel that calls them RGB or CMYK")
    if picture.photometric == 0:
        colors = np.iinfo(colors.dtype).max - colors
    alpha = None
    if picture.alpha is not None:
        index, associated = picture.alpha
        alpha = samples[..., index : index + 1]
        if associated:
            peak = np.iinfo(alpha.dtype).max
            divided = colors.astype(np.float32) * (peak / np.maximum(alpha, 1).astype(np.float32))
            colors = np.minimum(np.rint(divided), peak).astype(colors.dtype)
    mode = _MODES[colors.shape[2]]
    return _image(colors, mode), None if alpha is None else _image(alpha, "L")


def _image(samples: Samples, mode: str) -> Image.Image:
    """[H, W, S] of 8 or 16 bits as an image of 8."""
    if samples.dtype == np.uint16:
        samples = ((samples.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    pixels = np.ascontiguousarray(samples[..., 0] if mode == "L" else samples)
    height, width = pixels.shape[:2]
    return Image.frombytes(mode, (width, height), pixels.tobytes())


def _read_samples(data: bytes, picture: Picture) -> Samples:
    """Every sample of the picture as the file has them, uint8 or uint16 [H, W, S]."""
    if picture.fill_order not in (1, 2):
        raise damaged("TIFF", f"its bits have no order {picture.fill_order}")
    if picture.compression not in BYTEWISE or picture.predictor not in (1, 2):
        raise unsupported(
            f"TIFF of {picture.samples} x {picture.bits} bits with compression {picture.compression} "
            f"and predictor {picture.predictor}"
        )
    if not picture.planar:
        return _read_plane(data, picture)
    blocks = len(picture.offsets) // picture.samples
    parts = [slice(index * blocks, (index + 1) * blocks) for index in range(picture.samples)]
    planes = [replace(picture, samples=1, offsets=picture.offsets[part], counts=picture.counts[part]) for part in parts]
    return np.concatenate([_read_plane(data, plane) for plane in planes], axis=2)


def _read_plane(data: bytes, picture: Picture) -> Samples:
    """The samples of one plane, uint8 or uint16 [H, W, S]."""
    pixel = picture.samples * picture.bits // 8  # bytes
    with Image.open(BytesIO(_as_gray_bytes(data, picture, pixel)), formats=("TIFF",)) as image:
        rows = np.asarray(image)
    order = picture.order if picture.bits == 16 else "|"
    stored: npt.NDArray[Any] = rows.view(np.dtype(f"{order}u{picture.bits // 8}"))
    samples: Samples = stored.astype(stored.dtype.newbyteorder("=")).reshape(picture.height, picture.width, -1)
    if picture.predictor == 2 and picture.compression in PREDICTED:
        for left in range(0, picture.width, picture.block[0]):  # each row of a tile counts from zero
            block = samples[:, left : left + picture.block[0]]
            np.cumsum(block, axis=1, dtype=samples.dtype, out=block)
    return samples


def _as_gray_bytes(data: bytes, picture: Picture, pixel: int) -> bytes:
    """The same strips or tiles under a directory that calls each byte a gray pixel; a pixel has `pixel` of them."""
    block_tags = (322, 323, 324, 325) if picture.tiled else (None, 278, 273, 279)
    counts = () if picture.compression == UNCOMPRESSED else picture.counts
    values = {
        256: (picture.width * pixel,),
        257: (picture.height,),
        258: (8,),
        259: (picture.compression,),
        262: (1,),
        266: (picture.fill_order,),
        277: (1,),
        **{
            tag: value
            for tag, value in zip(
                block_tags,
                ((picture.block[0] * pixel,), (picture.block[1],), picture.offsets, counts),
                strict=True,
            )
            if tag is not None and value
        },
    }
    entries, arrays, end = [], b"", len(data) + len(data) % 2
    for tag in sorted(values):
        numbers = struct.pack(f"{picture.order}{len(values[tag])}I", *values[tag])
        if len(numbers) > 4:
            place, arrays = end + len(arrays), arrays + numbers
            numbers = struct.pack(f"{picture.order}I", place)
        entries.append(struct.pack(f"{picture.order}HHI", tag, _LONG, len(values[tag])) + numbers)
    directory = struct.pack(f"{picture.order}H", len(entries)) + b"".join(entries) + bytes(4)
    head = (b"II*\0" if picture.order == "<" else b"MM\0*") + struct.pack(f"{picture.order}I", end + len(arrays))
    return b"".join((head, data[8:], bytes(len(data) % 2), arrays, directory))
