"""Draws the light of a picture from a seed, independent of the row's position.

The seed of a light is a hash of the run's seed, the photo's path as written and the variant's number, so a row keeps
its light when the CSV is sorted, shortened or extended, and variant k does not depend on the number of variants.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from typing import Any

import numpy as np

from client.light.columns import NO_OVERRIDES, Overrides
from client.light.distributions import Lighting
from client.light.light import Light, light_of
from client.light.values import NO_PATTERN, color_in
from contract.light import DRAWS, NUMBERS, SPACES

MOST_LIGHTS = 10_000  # of one photo: each takes 1 kB here and as much in metadata.json


def draw_lights(
    lighting: Lighting, seed: int, image_path: str, variants: int, overrides: Overrides = NO_OVERRIDES
) -> list[Light]:
    """Draw the `variants` lights of one photo from the run's `seed` and the photo's path.

    Values in `overrides` replace drawn ones, and its seed the run's; the others are drawn as without overrides.
    """
    seed = overrides.get("seed", seed)
    return [draw_light(lighting, light_seed(seed, image_path, k), overrides) for k in range(variants)]


def draw_light(lighting: Lighting, seed: str, overrides: Overrides = NO_OVERRIDES) -> Light:
    """Draw the light of `seed` (hexadecimal digits).

    Each value has its own random number, used or not, so a changed distribution, or a new value at the end, leaves the
    others as they were.
    """
    stream = np.random.Generator(np.random.PCG64(int(seed, 16))).random(len(DRAWS)).tolist()
    shares = {name: stream[place] for name, place in DRAWS.items()}

    def value(name: str) -> Any:
        return overrides[name] if name in overrides else lighting.drawn[name].at(shares[name])

    present = shares["pattern_probability"] < lighting.pattern_probability
    pattern = value("pattern") if present or "pattern" in overrides else NO_PATTERN
    elevation, azimuth = value("light_elevation"), value("light_azimuth") % 360
    red, green, blue = color_in(lighting.space, value("light_color"))
    ambient = value("ambient")
    x, y, z = _direction(elevation, azimuth)
    numbers = {
        **{name: value(name) for name in NUMBERS if name in lighting.drawn},
        **{"direction_x": x, "direction_y": y, "direction_z": z},
        "intensity": np.float32(1.0) - np.float32(ambient),
        **{"color_red": red, "color_green": green, "color_blue": blue},
        "pattern_id": pattern.id,
        "pattern_seed": overrides.get("pattern_seed", int(shares["pattern_seed"] * 2**24)),
        "arithmetic": SPACES.index(lighting.space),
    }
    # The angles as drawn, not as computed from float32.
    return dataclasses.replace(light_of(numbers, seed, pattern.name), elevation=elevation, azimuth=azimuth)


def light_seed(seed: int, image_path: str, variant: int) -> str:
    """The seed of one light, 16 hexadecimal digits."""
    text = f"{seed}\0{image_path}\0{variant}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def _direction(elevation: float, azimuth: float) -> tuple[float, float, float]:
    """The unit vector toward the light, from degrees: (cos e cos a, cos e sin a, sin e)."""
    e, a = math.radians(elevation), math.radians(azimuth)
    return math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)
