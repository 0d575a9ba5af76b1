"""Reads JPEGs by simplejpeg, the whole picture or, for less time and memory, one of a half, a quarter or an eighth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import simplejpeg
from colors import finish, srgb_transform
from PIL import Image
from refusals import damaged, truncated

Pixels = npt.NDArray[np.uint8]

# Other scales, such as 5/8, take longer than the whole picture: libjpeg-turbo has no vector code for them.
_EIGHTHS = (1, 2, 4, 8)
# What libjpeg calls a warning although pixels are lost by it; others are harmless oddities of cameras.
_JPEG_LOSSES = ("bad huffman code", "found marker", "inconsistent progression")


def fewest_eighths(size: tuple[int, int], least: tuple[int, int] | None) -> int:
    """The scale, in eighths, at which a picture has the fewest pixels that are `least` or more: width and height.

    Only where both sides stay whole, as those of cameras do: the last pixel would else stand for too little, and the
    picture be stretched.
    """
    if least is None:
        return 8

    def suits(eighths: int) -> bool:
        return all(side * eighths % 8 == 0 and side * eighths >= 8 * few for side, few in zip(size, least, strict=True))

    return next(filter(suits, _EIGHTHS), 8)


def read_jpeg(data: bytes, header: Image.Image, background_gray: int, eighths: int) -> Pixels | None:
    """Every JPEG by simplejpeg, which gives the very pixels that Pillow does; None where it refuses an oddity.

    1024², one core: 3.1 ms by simplejpeg, 6.6 by OpenCV, 7.6 by Pillow. The scale is part of the decoding: each block
    of 8 x 8 pixels becomes one of `eighths`. Returns uint8 [H, W, 3] sRGB, not yet turned.
    """
    icc = header.info.get("icc_profile")
    color_space = "CMYK" if header.mode == "CMYK" else "GRAY" if header.mode == "L" and icc else "RGB"
    width, height = (side * eighths // 8 for side in header.size)
    try:
        decoded = simplejpeg.decode_jpeg(data, color_space, min_width=width, min_height=height, strict=True)
    except ValueError as error:
        reason = str(error)
        if "premature end" in reason.lower():
            raise truncated("JPEG", data) from error
        if any(loss in reason.lower() for loss in _JPEG_LOSSES):
            raise damaged("JPEG", reason) from error
        return None  # Pillow will tell
    pixels = np.asarray(decoded, np.uint8)
    if color_space == "RGB" and (not icc or srgb_transform(icc, "RGB") is None):
        return pixels
    if color_space == "CMYK":
        pixels = np.invert(pixels)  # as all of them are stored, though only Adobe's say so
    layer = Image.fromarray(pixels[..., 0]) if color_space == "GRAY" else Image.fromarray(pixels, color_space)
    return finish(layer, None, icc, background_gray)
