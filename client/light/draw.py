"""Draws the light of a picture from a seed: nothing about it depends on the row's position.

The seed of a light is a hash of the run's seed, the photo's path as written and the variant's
number, so a row keeps its light when the CSV is sorted, cut or extended, and variant k is the same
however many variants are asked for.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np

from client.light.columns import NO_OVERRIDES, Overrides
from client.light.distributions import Lighting
from client.light.light import LIMITS, NO_PATTERN, Light, color_in, exact, gray_and_space

# Each draw owns one uniform number of the stream, whether it is used or not: changing the
# distribution of one, or adding one at the end, leaves the others as they were.
_DRAWS = (
    "light_elevation",
    "light_azimuth",
    "ambient",
    "relief",
    "specular",
    "shininess",
    "pattern",  # which one
    "pattern_opacity",
    "pattern_blur",
    "pattern_seed",
    "albedo_blend",
    "pattern_probability",  # whether there is one
    "light_color",
    "gray",
)


def draw_lights(
    lighting: Lighting, seed: int, image_path: str, variants: int, overrides: Overrides = NO_OVERRIDES
) -> list[Light]:
    """The lights of one photo, `variants` of them, drawn from the run's `seed` and its path.

    What `overrides` gives is taken as it is, its seed in the place of the run's; the rest is drawn as without it.
    """
    seed = seed if overrides.seed is None else overrides.seed
    return [draw_light(lighting, light_seed(seed, image_path, k), overrides) for k in range(variants)]


def draw_light(lighting: Lighting, seed: str, overrides: Overrides = NO_OVERRIDES) -> Light:
    """The one light that belongs to `seed` (hexadecimal digits)."""
    stream = np.random.Generator(np.random.PCG64(int(seed, 16))).random(len(_DRAWS))
    shares: dict[str, float] = dict(zip(_DRAWS, stream.tolist(), strict=True))

    def value(name: str) -> Any:
        given = getattr(overrides, name)
        return getattr(lighting, name).at(shares[name]) if given is None else given

    pattern = overrides.pattern
    if pattern is None:
        present = shares["pattern_probability"] < lighting.pattern_probability
        pattern = lighting.pattern.at(shares["pattern"]) if present else NO_PATTERN
    pattern_seed = overrides.pattern_seed
    if pattern_seed is None:
        pattern_seed = int(shares["pattern_seed"] * (LIMITS["pattern_seed"].high + 1))
    elevation, azimuth = value("light_elevation"), value("light_azimuth") % 360
    values = (
        *_direction(elevation, azimuth),
        value("ambient"),
        value("relief"),
        value("specular"),
        value("shininess"),
        pattern.id,
        value("pattern_opacity"),
        value("pattern_blur"),
        value("albedo_blend"),
        *color_in(lighting.space, value("light_color")),
        pattern_seed,
        gray_and_space(value("gray"), lighting.space),
    )
    return Light(seed, elevation, azimuth, exact(values), pattern.name)


def light_seed(seed: int, image_path: str, variant: int) -> str:
    """The seed of one light, 16 hexadecimal digits."""
    text = f"{seed}\0{image_path}\0{variant}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _direction(elevation: float, azimuth: float) -> tuple[float, float, float]:
    """The unit vector toward the light, from degrees: (cos e cos a, cos e sin a, sin e)."""
    e, a = math.radians(elevation), math.radians(azimuth)
    return math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)
