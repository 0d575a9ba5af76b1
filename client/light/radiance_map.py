"""Equirectangular radiance maps: which pixel is which direction, and the light that a map gives to a surface.

A map is linear Rec. 709 radiance, float [H,W,3] with W = 2 H. Its middle is what the camera looks at (z = −1 in the
axes of contract.light), its right half is to the right there (+x), its top row is above (−y); what is behind the camera
(+z) is at the left and right edges. A pixel's radiance counts for all of its solid angle: the integrals are exact.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]  # of integers or any floats
Floats = NDArray[np.float64]
Vector = tuple[float, float, float]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of Rec. 709
# From the integral of radiance × polynomial to the irradiance ÷ π that HARMONICS multiply: the square of each
# polynomial's constant, times π, 2π/3 or π/4 of Lambert's cosine (Ramamoorthi and Hanrahan, 2001), ÷ π.
_FACTORS = np.array([8, 16, 16, 16, 30, 30, 2.5, 30, 7.5]) / (32 * np.pi)


@lru_cache(maxsize=2)
def directions(height: int, width: int) -> Floats:
    """The unit vectors (x, y, z) toward the middles of the pixels, [H,W,3]."""
    theta = np.pi * (np.arange(height) + 0.5)[:, None] / height
    phi = 2 * np.pi * (np.arange(width) + 0.5) / width - np.pi
    x, y, z = np.broadcast_arrays(np.sin(theta) * np.sin(phi), -np.cos(theta), -np.sin(theta) * np.cos(phi))
    return np.stack([x, y, z], -1)


@lru_cache(maxsize=2)
def solid_angles(height: int, width: int) -> Floats:
    """The pixels' solid angles in steradians, [H,1]: the same along a row, 4π in total."""
    solid: Floats = np.diff(_heights(height))[:, None] * (2 * np.pi / width)
    return solid


def project(radiance: Floats) -> Floats:
    """The irradiance ÷ π of a map: nine coefficients of contract.light.HARMONICS per channel, [9,3]."""
    height, width, _ = radiance.shape
    rows, columns = _integrals(height, width)
    moments = np.tensordot(rows, radiance, 1)  # [row integrals,W,3]
    one, sine, cosine, sine2, cosine2, both = columns
    s, sc, ss, ssc, sss, scc = moments
    integrals = [
        *(one @ s, -one @ sc, -cosine @ ss, sine @ ss),  # 1, y, z, x
        *(-sine @ ssc, cosine @ ssc),  # xy, yz
        3 * (cosine2 @ sss) - one @ s,  # 3z² − 1
        -both @ sss,  # xz
        sine2 @ sss - one @ scc,  # x² − y²
    ]
    coefficients: Floats = _FACTORS[:, None] * np.stack(integrals)
    return coefficients


def polynomials(direction: Vector) -> Floats:
    """The values of contract.light.HARMONICS for a unit vector, [9]."""
    x, y, z = direction
    return np.array([1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])


def project_source(direction: Vector, color: Vector) -> Floats:
    """The nine coefficients [9,3] of a source: a surface that faces it has the irradiance ÷ π `color` from it."""
    coefficients: Floats = np.outer(_FACTORS * polynomials(direction), np.pi * np.array(color))
    return coefficients


def reduced(radiance: Pixels, width: int) -> Floats:
    """The map with fewer columns, `width`: a pixel is the mean of its area on the sphere, so that all energy stays."""
    high, wide, _ = radiance.shape
    rows = _means(radiance, _heights(high), _heights(width // 2))
    columns = _means(rows.swapaxes(0, 1), np.linspace(0, 1, wide + 1), np.linspace(0, 1, width + 1))
    return columns.swapaxes(0, 1)


def _heights(count: int) -> Floats:
    """The rows' edges as heights on the unit sphere, which areas are in proportion to, [count + 1]."""
    heights: Floats = -np.cos(np.pi * np.arange(count + 1) / count)
    return heights


def _means(values: Pixels, old: Floats, new: Floats) -> Floats:
    """Means over the first axis between the edges `new`, of values that are constant between the edges `old`."""
    means = np.empty((len(new) - 1, *values.shape[1:]))
    starts, ends = np.searchsorted(old, new[:-1], "right") - 1, np.searchsorted(old, new[1:], "left")
    for index, (low, high, start, end) in enumerate(zip(new[:-1], new[1:], starts, ends, strict=True)):
        shares = np.diff(np.clip(old[start : end + 1], low, high)) / (high - low)
        means[index] = np.tensordot(shares, values[start:end], 1)
    return means


@lru_cache(maxsize=2)
def _integrals(height: int, width: int) -> tuple[Floats, Floats]:
    """Integrals over the rows' and the columns' extents, whose products are those of the polynomials over a pixel.

    Rows [6,H], over the angle from above, with s = sine and c = cosine: s, s·c, s², s²·c, s³, s·c².
    Columns [6,W], over the angle to the right: 1, s, c, s², c², s·c.
    """
    theta = np.pi * np.arange(height + 1) / height
    phi = 2 * np.pi * np.arange(width + 1) / width - np.pi
    s, c = np.sin(theta), np.cos(theta)
    rows = [-c, s**2 / 2, (theta - s * c) / 2, s**3 / 3, c**3 / 3 - c, -(c**3) / 3]
    s, c = np.sin(phi), np.cos(phi)
    columns = [phi, -c, s, (phi - s * c) / 2, (phi + s * c) / 2, s**2 / 2]
    return np.diff(rows), np.diff(columns)
