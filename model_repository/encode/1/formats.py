"""Makes one picture's values into a file's bytes, in the format that FILES asks for."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from contract.files import COLOURS, WHITE, Files, FilesError
from exr import encode_exr
from png import Pixels, encode_png

_LARGEST_SIDE = {"jpeg": 65_535, "webp": 16_383}  # the formats' own limits
# By a linear code: its value for an EXR, and for a PNG, where what is above 1 is white.
_HALF = (np.arange(1 << 16) / WHITE).astype(np.float16)
_DEEP = np.rint(np.minimum(np.arange(1 << 16) / WHITE, 1) * 65_535).astype(np.uint16)


def encode_colours(files: Files, name: str, pixels: npt.NDArray[Any]) -> bytes:
    """The file of a picture to look at, or of the mask.

    pixels: uint8 sRGB or uint16 linear, WHITE for 1, [H, W, 3]; the mask is uint8 [H, W].
    Raises FilesError if the format cannot hold an image this large.
    """
    kind = files.format_of(name)
    if kind == "exr":
        return encode_exr({"RGB": _HALF[pixels]}, linear=True)
    if kind == "png":
        if pixels.dtype == np.uint8 or name not in COLOURS:
            return encode_png(pixels)
        return encode_png(_DEEP[pixels], "linear")
    height, width = pixels.shape[:2]
    if max(height, width) > _LARGEST_SIDE[kind]:
        raise FilesError(
            f"{kind} holds at most {_LARGEST_SIDE[kind]:,} pixels a side and the photo is {width} x {height}: "
            "ask for png."
        )
    if kind == "jpeg":
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), files.quality, "RGB", "444"))
    return _write_webp(pixels, files.quality)


def _write_webp(pixels: Pixels, quality: int | None) -> bytes:
    """Method 0, libwebp's fastest: 26 ms against 82 for 1024², and 12 % more bytes."""
    file = BytesIO()
    image = Image.fromarray(pixels)
    if quality is None:
        image.save(file, "WEBP", lossless=True, quality=0, method=0)
    else:
        image.save(file, "WEBP", quality=quality, method=0)
    return file.getvalue()
