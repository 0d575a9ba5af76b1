"""The maps behind the pictures, enlarged to the photo and cut, as their files hold them: alpha, normal, depth, shading.

A network's map is a square that the photo was squashed into. Its pixels' middles lie as for align_corners=False.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from contract.files import DEEPEST, WHITE, Files
from cut import Cut
from exr import encode_exr
from png import encode_png

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

cv2.setNumThreads(1)  # the server runs one instance per core; OpenCV's own pool would fight it
_UPWARD = np.array([1, -1, 1], np.float16).reshape(3, 1, 1)
_SHORTEST = np.float32(1e-6)  # a length that still has a direction
_BLOCK = 65_536  # pixels that are worked on at a time


def enlarged(planes: Array, cut: Cut) -> Floats:
    """Sample planes, [C, h, w], bilinearly at the middles of the photo's pixels that files show.

    Returns float32 [H, W, C], [H, W] for one plane.
    """
    values = np.ascontiguousarray(np.moveaxis(planes, 0, -1), np.float32)
    pixels = cv2.resize(values, (cut.width, cut.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(pixels, np.float32)[cut.part]


def encode_alpha(files: Files, alpha: Array, cut: Cut) -> bytes:
    """ALPHA [1, h, w], 0-1."""
    values = enlarged(alpha, cut)
    return encode_exr({"Y": values}) if is_exr(files, "alpha") else encode_png(stored(values, files.depth, 1.0))


def encode_normal(files: Files, normal: Array, cut: Cut) -> bytes:
    """NORMAL [3, h, w], +y down as in LIGHT; the file has +y up, as most who read normals."""
    values = enlarged(normal * _UPWARD, cut)
    rows = max(1, _BLOCK // cut.size[1])
    for first in range(0, cut.size[0], rows):  # so that nothing else of a photo's size is needed
        block = values[first : first + rows]
        length = np.sqrt(np.einsum("hwc,hwc->hw", block, block))[..., np.newaxis]
        block[length[..., 0] < _SHORTEST] = 0, 0, 1
        block /= np.where(length < _SHORTEST, 1, length)
    if is_exr(files, "normal"):
        return encode_exr({"RGB": values})
    return encode_png(stored(values, files.depth, 0.5, 0.5), "data")


def encode_depth(files: Files, height: Array, cut: Cut) -> bytes:
    """HEIGHT [1, h, w], in standard deviations of the person."""
    values = enlarged(height, cut)
    if is_exr(files, "depth"):
        return encode_exr({"Y": values})
    return encode_png(stored(values, 16, 1 / (2 * DEEPEST), 0.5))


def encode_shading(files: Files, shading: Array, cut: Cut) -> bytes:
    """SHADING [6, h, w]: diffuse red, green, blue, and specular ones, which only an EXR has room for."""
    diffuse = enlarged(shading[:3], cut)
    if not is_exr(files, "shading"):
        return encode_png(stored(diffuse, 16, WHITE / 65_535), "linear")
    specular = cv2.split(enlarged(shading[3:], cut).astype(np.float16))
    channels = {f"specular.{letter}": plane for letter, plane in zip("RGB", specular, strict=True)}
    return encode_exr({"RGB": diffuse.astype(np.float16), **channels}, linear=True)


def is_exr(files: Files, name: str) -> bool:
    """Whether the map's file is one of floats."""
    return files.format_of(name) == "exr"


def stored(values: Array, bits: int, scale: float, offset: float = 0.0) -> Array:
    """`scale · values + offset`, cut to 0-1, as the nearest whole numbers of 8 or 16 bits."""
    largest = 2**bits - 1
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    kind = cv2.CV_8U if bits == 8 else cv2.CV_16U
    whole = cv2.addWeighted(flat, scale * largest, flat, 0.0, offset * largest, dtype=kind)
    return np.asarray(whole).reshape(values.shape)
