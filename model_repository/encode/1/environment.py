"""A picture's light as a map of radiance: its environment and its sources, as a 64 x 32 equirectangular EXR.

The middle of the map looks where the camera looks (-z), right is +x, up is -y. A white surface in the middle of it has
the irradiance that LIGHT and SCENE describe.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from contract.light import position
from exr import encode_exr

Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 64, 32
_PIXEL = math.pi / HEIGHT  # radians across
_CHANNELS = slice(position("color_red"), position("color_blue") + 1)
_COEFFICIENTS = 27
# By order: what irradiance / pi keeps of a radiance's harmonic (Ramamoorthi and Hanrahan, 2001). Order 3 is lost.
_KEPT = np.array([1.0] + [2 / 3] * 3 + [1 / 4] * 5 + [-1 / 24] * 9)
_SLACK = 1e-6  # how much of the irradiance, squared, is given for a smoother map
_STEPS, _SHORTEST, _ENOUGH = 100, 1e-6, 1e-9
_EDGE = 1.25 * _PIXEL  # of a disc, so wide that its middle has pixels on all sides


def encode_environment(sources: npt.NDArray[Any], scene: npt.NDArray[Any]) -> bytes:
    """The EXR of a picture: float32 red, green, blue, linear.

    sources: [L, 16], rows of LIGHT. scene: [32], a row of SCENE. Raises FilesError where OpenEXR is not installed.
    """
    radiance = surroundings(np.asarray(scene[:_COEFFICIENTS], np.float64).reshape(9, 3))
    for source in np.asarray(sources, np.float64):
        shade = source[position("intensity")] * source[_CHANNELS]
        if shade.any():
            radiance += disc(source[:3], source[position("angular_size")])[..., np.newaxis] * shade
    return encode_exr({"RGB": radiance.astype(np.float32)}, linear=True)


def surroundings(irradiance: Floats) -> Floats:
    """Radiance [H, W, 3] of an environment with the irradiance / pi [9, 3] in contract.light's HARMONICS."""
    radiance = np.zeros((HEIGHT, WIDTH, 3))
    for channel, (mean, *rest) in enumerate(irradiance.T.tolist()):
        if mean > 0:
            shape = tuple(round(value / mean, 6) for value in rest)
            radiance[..., channel] = mean * _smoothest(shape)
    return radiance


@lru_cache(maxsize=512)  # pictures of a photo often share one, and a gray one's channels do
def _smoothest(shape: tuple[float, ...]) -> Floats:
    """The map of maximum entropy, [H, W], whose irradiance / pi has the mean 1 and these other eight coefficients.

    It is the exponential of a sum of harmonics: positive, and without detail that nothing asks for. Its harmonics of
    order 4, which irradiance keeps a little of, are to be zero. Where no positive map has all that, the nearest is
    taken: Newton's method, with steps halved, minimises the dual function of a least-squares misfit.
    """
    if not any(shape):
        return np.ones((HEIGHT, WIDTH))
    wanted = np.zeros(len(_KEPT))
    wanted[:9] = np.clip([1.0, *shape], -_MOST, _MOST) * _NORMS[:9] / _KEPT[:9]
    slack = _SLACK / _KEPT**2
    slack[0] = 0.0  # a map of any mean can be had
    factors = np.zeros(len(_KEPT))

    def dual(factors: Floats) -> tuple[float, Floats]:
        with np.errstate(over="ignore"):
            radiance = np.exp(_BASIS @ factors)
        return float(_AREAS @ radiance - wanted @ factors + slack @ factors**2 / 2), radiance

    value, radiance = dual(factors)
    for _ in range(_STEPS):
        weighted = _AREAS * radiance
        gradient = weighted @ _BASIS - wanted + slack * factors
        step = np.linalg.solve((_BASIS * weighted[:, np.newaxis]).T @ _BASIS + np.diag(slack), -gradient)
        slope, length = float(gradient @ step), 1.0
        while (found := dual(factors + length * step))[0] > value + 1e-4 * length * slope and length > _SHORTEST:
            length /= 2
        if slope > -_ENOUGH or found[0] > value:
            break
        factors, (value, radiance) = factors + length * step, found
    return radiance.reshape(HEIGHT, WIDTH)


def disc(direction: Floats, size: float) -> Floats:
    """Radiance [H, W] of a disc with soft edges, at least a pixel across, that a surface facing it gains pi from.

    direction: unit, in LIGHT's axes. size: degrees across. Its middle is exactly the direction.
    """
    towards = direction / np.linalg.norm(direction)
    angles = np.arccos(np.clip(_DIRECTIONS @ towards, -1, 1))
    radius = max(math.radians(size) / 2, _PIXEL / 2)
    inside = np.clip((radius + 0.6 * _EDGE - angles) / _EDGE, 0, 1)
    for _ in range(3):  # the pixels beside the middle are tilted until they weigh the same on all sides
        weights = _AREAS * inside
        mean = weights @ _DIRECTIONS / weights.sum()
        off = mean - (mean @ towards) * towards
        spread = (_DIRECTIONS - mean) * weights[:, np.newaxis]
        tilt = np.linalg.lstsq(spread.T @ (_DIRECTIONS - mean) / weights.sum(), -off, rcond=1e-3)[0]
        inside *= np.exp(np.clip((_DIRECTIONS - mean) @ tilt, -5, 5))
    return np.asarray(inside * (math.pi / (_AREAS * inside @ (_DIRECTIONS @ towards)))).reshape(HEIGHT, WIDTH)


def _directions() -> Floats:
    """Where each pixel looks, [H · W, 3], in LIGHT's axes: row by row from the top."""
    elevation = (0.5 - (np.arange(HEIGHT) + 0.5) / HEIGHT) * math.pi
    azimuth = ((np.arange(WIDTH) + 0.5) / WIDTH - 0.5) * 2 * math.pi
    up, around = (grid.ravel() for grid in np.meshgrid(elevation, azimuth, indexing="ij"))
    return np.stack([np.sin(around) * np.cos(up), -np.sin(up), -np.cos(around) * np.cos(up)], -1)


def _basis(directions: Floats) -> Floats:
    """The harmonics of orders 0, 1 and 2 in the order of HARMONICS, and of order 4: [N, 18]."""
    x, y, z = directions.T
    wide, tall = x * x - y * y, 7 * z * z
    functions = (
        *(np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, wide),
        *(x * y * wide, y * z * (3 * x * x - y * y), x * y * (tall - 1), y * z * (tall - 3)),
        35 * z**4 - 30 * z * z + 3,
        *(x * z * (tall - 3), wide * (tall - 1), x * z * (x * x - 3 * y * y), x**4 - 6 * x * x * y * y + y**4),
    )
    return np.stack(functions, -1)


_DIRECTIONS = _directions()
_ROWS = np.diff(-np.sin((0.5 - np.arange(HEIGHT + 1) / HEIGHT) * math.pi))
_AREAS = np.repeat(_ROWS, WIDTH) * (2 * math.pi / WIDTH)  # solid angles, 4 pi together
_HARMONICS = _basis(_DIRECTIONS)
_NORMS = np.sqrt(_AREAS @ _HARMONICS**2)
_BASIS = _HARMONICS / _NORMS
# What a single point of light has of each coefficient, where that is the largest: more, no map has.
_MOST = (_KEPT * 4 * math.pi * np.abs(_HARMONICS).max(0) / _NORMS**2)[:9]
