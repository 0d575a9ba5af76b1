"""sRGB levels, linear values, and the codes of finished pixels: uint8 is sRGB, uint16 is linear with WHITE for 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from contract.files import WHITE

Codes = npt.NDArray[Any]  # uint8 or uint16
Floats = npt.NDArray[np.float32]
_LARGEST = np.iinfo(np.uint16).max


def to_linear(srgb: Floats) -> Floats:
    """Linear values of sRGB values, 1 is white; above it the curve goes on (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(linear: Floats) -> Floats:
    """The inverse of `to_linear`."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055).astype(
        np.float32
    )


_SHARES = (np.arange(256) / 255).astype(np.float32)
LINEAR = to_linear(_SHARES)  # float32 [256], of an sRGB level
_WHOLE = (np.arange(_LARGEST + 1) / WHITE).astype(np.float32)  # float32 [65536], of a linear code
LEVELS = np.rint(np.clip(to_srgb(_WHOLE), 0, 1) * 255).astype(np.uint8)  # uint8 [65536], of a linear code


def codes_of(pixels: npt.NDArray[np.uint8]) -> Codes:
    """Finished pixels, uint8 [P,H,W,3]: uint8 as they are for P = 1, or uint16 of the high and the low byte."""
    if len(pixels) == 1:
        return np.asarray(pixels[0])
    codes = pixels[0].astype(np.uint16)
    codes <<= 8
    codes |= pixels[1]
    return np.asarray(codes)


def values_of(codes: Codes, *, srgb: bool = False) -> Floats:
    """Linear, or sRGB, values of codes, 1 is white."""
    if codes.dtype == np.uint8:
        return np.asarray((_SHARES if srgb else LINEAR)[codes])
    linear = _WHOLE[codes]
    return to_srgb(linear) if srgb else linear


def to_codes(values: Floats, dtype: npt.DTypeLike, *, srgb: bool = False) -> Codes:
    """The nearest codes of linear, or sRGB, values; what is above the largest code is that."""
    if dtype == np.uint8 and srgb:
        return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)
    linear = np.rint(np.clip((to_linear(values) if srgb else values) * WHITE, 0, _LARGEST)).astype(np.uint16)
    return np.asarray(LEVELS[linear]) if dtype == np.uint8 else linear
