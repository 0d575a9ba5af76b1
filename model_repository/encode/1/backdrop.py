"""Lays a person over another background than plain gray: the photo's own, a plane under the same light, a picture."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from contract.files import WHITE
from cut import Cut
from levels import LEVELS, LINEAR, Codes, to_codes, to_linear, values_of
from maps import enlarged, stored

Pixels = npt.NDArray[np.uint8]

_DARKEST, _BRIGHTEST = 0.25, 4.0  # exposures of the photo's own background
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709
_SAMPLES = 65_536  # pixels that the exposure is measured at


def lay(front: Codes, back: Codes, mask: Pixels, *, premultiplied: bool, srgb: bool = False) -> Codes:
    """Lay `front` over `back`, codes [H, W, 3] of one type, in linear light or, with `srgb`, in sRGB values.

    mask: uint8 [H, W], 255 keeps the front. premultiplied: the front has been laid over black already.
    Only the pixels of the mask's edge are blended: the others are one of the two.
    """
    laid = np.array(front)
    cv2.copyTo(back, (mask == 0).view(np.uint8), laid)
    edge = np.flatnonzero((mask > 0) & (mask < 255))
    share = (mask.reshape(-1, 1)[edge] / 255).astype(np.float32)
    ahead, behind = (values_of(one.reshape(-1, 3)[edge], srgb=srgb) for one in (front, back))
    mixed = (ahead if premultiplied else ahead * share) + behind * (1 - share)
    laid.reshape(-1, 3)[edge] = to_codes(mixed, laid.dtype, srgb=srgb)
    return laid


def over_gray(photo: Pixels, mask: Pixels, gray: int, dtype: npt.DTypeLike = np.uint8) -> Codes:
    """Lay a photo over a plain gray: uint8 by blended levels as an image editor does, uint16 in linear light.

    photo: uint8 [H, W, 3]. mask: uint8 [H, W], 255 keeps the photo. gray: 0-255.
    """
    if dtype == np.uint8:  # Pillow's integer blend: exact, and a quarter of NumPy's time
        canvas = Image.new("RGB", (photo.shape[1], photo.shape[0]), (gray, gray, gray))
        canvas.paste(Image.fromarray(photo), mask=Image.fromarray(mask))
        return np.asarray(canvas)
    front = exposed(photo, 1.0, dtype)
    plain = np.full_like(front, to_codes(LINEAR[gray], dtype))
    return lay(front, plain, mask, premultiplied=False)


def exposure(photo: Pixels, degraded: Codes, mask: Pixels) -> float:
    """How much brighter the relit person over black is than in the photo, in mean linear luminance, 0.25-4."""
    step = max(1, math.isqrt(mask.size // _SAMPLES))
    relit, own, share = (one[::step, ::step] for one in (degraded, photo, mask))
    before = float(((LINEAR[own] @ _LUMINANCE) * (share / np.float32(255))).sum())
    after = float((values_of(relit) @ _LUMINANCE).sum())
    return min(max(after / before, _DARKEST), _BRIGHTEST) if before > 0 else 1.0


def exposed(photo: Pixels, factor: float, dtype: npt.DTypeLike) -> Codes:
    """The photo, its linear values times a factor, as codes."""
    return np.asarray(cv2.LUT(photo, to_codes(LINEAR * np.float32(factor), dtype)))


def plane(shading: npt.NDArray[Any], gray: int, cut: Cut, dtype: npt.DTypeLike, *, srgb: bool) -> Codes:
    """A plane of a gray level under the diffuse light of SHADING [6, h, w], which there multiplies what it is to.

    With `srgb` it multiplies sRGB values. Returns codes [H, W, 3].
    """
    light = enlarged(shading[:3], cut)
    if srgb and dtype == np.uint8:
        return np.asarray(stored(light, 8, gray / 255))
    level = gray / 255 if srgb else float(LINEAR[gray])
    codes = stored(light, 16, level * WHITE / 65_535)
    if srgb:
        return np.asarray(_LINEAR_CODES[codes])
    return LEVELS[codes] if dtype == np.uint8 else codes


_LINEAR_CODES = to_codes(to_linear((np.arange(65_536) / WHITE).astype(np.float32)), np.uint16)  # of an sRGB value
