"""Draws the light of a picture from a seed: nothing about it depends on the row's position.

The seed of a light is a hash of the run's seed, the photo's path as written and the variant's
number, so a row keeps its light when the CSV is sorted, cut or extended, and variant k is the same
however many variants are asked for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The columns of LIGHT, in order. Direction is a unit vector: +x right, +y down, +z to the camera.
COLUMNS = (
    "direction_x",
    "direction_y",
    "direction_z",
    "ambient",
    "relief",
    "specular",
    "shininess",
    "pattern_id",
    "pattern_opacity",
    "pattern_blur",
    "albedo_blend",
    "color_red",
    "color_green",
    "color_blue",
    "pattern_seed",
    "gray",
)

# Each draw owns one uniform number of the stream, whether it is used or not: changing the
# distribution of one, or adding one at the end, leaves the others as they were.
_DRAWS = (
    "elevation",
    "azimuth",
    "ambient",
    "relief",
    "specular",
    "shininess",
    "pattern_id",
    "pattern_opacity",
    "pattern_blur",
    "pattern_seed",
    "albedo_blend",
)


@dataclass(frozen=True)
class Lighting:
    """The distributions lights are drawn from: (low, high) is uniform, a longer tuple a choice."""

    elevation: tuple[float, float] = (10.0, 80.0)  # degrees above the image plane
    azimuth: tuple[float, float] = (0.0, 360.0)  # degrees: 0 from the right, 90 from below
    ambient: tuple[float, float] = (0.6, 0.85)
    relief: float = 1.0
    specular: float = 0.0
    shininess: float = 32.0
    pattern_id: int = 0  # no pattern
    pattern_opacity: tuple[float, float] = (0.35, 0.6)
    pattern_blur: tuple[float, ...] = (21.0, 31.0, 41.0, 51.0)  # pixels at 1024
    albedo_blend: tuple[float, float] = (0.15, 0.25)
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)  # linear multipliers of R, G, B
    gray: int = 128  # of the background, 0-255


@dataclass(frozen=True)
class Light:
    """One light: the 16 numbers of a row of LIGHT and where they came from."""

    seed: str  # 16 hexadecimal digits
    elevation: float  # degrees
    azimuth: float  # degrees
    values: tuple[float, ...]  # in the order of COLUMNS, each the shortest text of its float32

    def named(self) -> dict[str, float | str]:
        """Every number by its name, for the metadata."""
        return {
            "seed": self.seed,
            "elevation": self.elevation,
            "azimuth": self.azimuth,
            **dict(zip(COLUMNS, self.values, strict=True)),
        }


def draw_lights(lighting: Lighting, seed: int, image_path: str, variants: int) -> list[Light]:
    """The lights of one photo, `variants` of them, drawn from the run's `seed` and its path."""
    return [draw_light(lighting, _seed(seed, image_path, k)) for k in range(variants)]


def draw_light(lighting: Lighting, seed: str) -> Light:
    """The one light that belongs to `seed` (hexadecimal digits)."""
    stream = np.random.Generator(np.random.PCG64(int(seed, 16))).random(len(_DRAWS))
    uniform = dict(zip(_DRAWS, stream.tolist(), strict=True))

    def between(name: str, bounds: tuple[float, float]) -> float:
        low, high = bounds
        return low + (high - low) * float(uniform[name])

    elevation = between("elevation", lighting.elevation)
    azimuth = between("azimuth", lighting.azimuth)
    blurs = lighting.pattern_blur
    values = (
        *_direction(elevation, azimuth),
        between("ambient", lighting.ambient),
        lighting.relief,
        lighting.specular,
        lighting.shininess,
        lighting.pattern_id,
        between("pattern_opacity", lighting.pattern_opacity),
        blurs[int(uniform["pattern_blur"] * len(blurs))],
        between("albedo_blend", lighting.albedo_blend),
        *lighting.color,
        int(uniform["pattern_seed"] * 2**24),  # the integers that float32 holds exactly
        lighting.gray,
    )
    return Light(seed, elevation, azimuth, tuple(float(str(np.float32(v))) for v in values))


def light_tensor(lights: Sequence[Light]) -> NDArray[np.float32]:
    """LIGHT as the ensemble takes it: float32 [1, K, 16]."""
    return np.array([[light.values for light in lights]], np.float32)


def _seed(seed: int, image_path: str, variant: int) -> str:
    text = f"{seed}\0{image_path}\0{variant}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _direction(elevation: float, azimuth: float) -> tuple[float, float, float]:
    """The unit vector toward the light, from degrees: (cos e cos a, cos e sin a, sin e)."""
    e, a = math.radians(elevation), math.radians(azimuth)
    return math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)
