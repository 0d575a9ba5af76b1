"""Draws the light of a picture from a seed, independent of the row's position.

The seed of a light is a hash of the run's seed, the photo's path as written and the variant's number, so a row keeps
its light when the CSV is sorted, shortened or extended, and variant k does not depend on the number of variants.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from client.light.columns import NO_OVERRIDES, Overrides
from client.light.environment import Environment, built_in, exposed, turned
from client.light.light import Light, Scenery, Source, light_of, source_of
from client.light.lighting import Lighting
from client.light.values import NO_PATTERN, Color, Pattern, color_in
from contract.light import CHANNELS, DRAWS, NUMBERS, SCENE, SPACES

MOST_LIGHTS = 10_000  # of one photo: each takes 2 kB here and as much in metadata.json
NO_ENVIRONMENT = "none"
_SHOWN = 12  # names of environments, in a message
# What is drawn besides the values of DRAWS, by the hash that it is drawn from. A hash has eight numbers, and each value
# its place: a new one goes to the end.
_OF_A_SOURCE = ("intensity", "azimuth", "elevation", "color", "size")
_HASHES = {
    "setup": ("setup",),
    **{kind: tuple(f"{kind}_{name}" for name in _OF_A_SOURCE) for kind in ("fill", "rim")},
    "environment": (
        *("environment_probability", "environment", "environment_azimuth", "environment_exposure"),
        "environment_split",
    ),
}


def draw_lights(
    lighting: Lighting,
    seed: int,
    image_path: str,
    variants: int,
    overrides: Overrides = NO_OVERRIDES,
    environments: Sequence[Environment] = (),
) -> list[Light]:
    """Draw the `variants` lights of one photo from the run's `seed` and the photo's path.

    Values in `overrides` replace drawn ones, and its seed the run's; the others are drawn as without overrides. Raises
    ValueError, a sentence, where `overrides` contradict each other or what is there.
    """
    seed = overrides.get("seed", seed)
    return [draw_light(lighting, light_seed(seed, image_path, k), overrides, environments) for k in range(variants)]


def light_seed(seed: int, image_path: str, variant: int) -> str:
    """The seed of one light, 16 hexadecimal digits."""
    text = f"{seed}\0{image_path}\0{variant}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:16]


def draw_light(
    lighting: Lighting, seed: str, overrides: Overrides = NO_OVERRIDES, environments: Sequence[Environment] = ()
) -> Light:
    """Draw the light of `seed` (hexadecimal digits). Raises ValueError as `draw_lights` does.

    Each value has its own random number, used or not, so a changed distribution, or a new value at the end, leaves the
    others as they were.
    """
    values = _Values(lighting, seed, overrides)
    scene = {
        **{name: values(name) for name in lighting.drawn if name in NUMBERS and NUMBERS[name].tensor == SCENE},
        "arithmetic": SPACES.index(lighting.space),
    }
    if (found := _find_environment(values, environments)) is not None:
        return _lit_by(found, values, seed, scene)
    given: tuple[Source, ...] | None = overrides.get("sources")
    ambient = overrides.get("ambient", 0.0) if given else values("ambient")
    sources = given or _draw_sources(values)
    color = [sources[0].numbers[f"color_{channel}"] for channel in CHANNELS]
    return light_of(seed, sources, scene | _irradiance([[ambient * one for one in color]]), ambient=_exact(ambient))


class _Values:
    """The values of one light: those of `overrides`, else drawn, each by its own random number."""

    def __init__(self, lighting: Lighting, seed: str, overrides: Overrides) -> None:
        self.lighting, self.overrides, self._seed = lighting, overrides, seed
        stream = np.random.Generator(np.random.PCG64(int(seed, 16))).random(len(DRAWS)).tolist()
        self._shares: dict[str, float] = {name: stream[place] for name, place in DRAWS.items()}

    def __call__(self, name: str) -> Any:
        """A value by its name in the lighting file's table, which is its CSV column's where it has one."""
        return self.overrides[name] if name in self.overrides else self.lighting.drawn[name].at(self.share(name))

    def share(self, name: str) -> float:
        """The random number of a value, 0 up to 1."""
        if name not in self._shares:
            kind = name.partition("_")[0]
            numbers = struct.unpack("<8Q", hashlib.blake2b(f"{self._seed}\0{kind}".encode()).digest())
            self._shares.update(
                (one, (number >> 11) / 2**53) for one, number in zip(_HASHES[kind], numbers, strict=False)
            )
        return self._shares[name]

    def color(self, name: str) -> Color:
        """A colour as multipliers of the pixels' values."""
        return color_in(self.lighting.space, self(name))

    def surface(self) -> dict[str, float]:
        """What the person's surface does with a source."""
        return {name: self(name) for name in ("specular", "shininess", "cast_shadow")}

    def pattern(self) -> tuple[dict[str, float], str]:
        """The numbers of the pattern and its name."""
        overrides = self.overrides
        present = self.share("pattern_probability") < self.lighting.pattern_probability
        pattern: Pattern = self("pattern") if present or "pattern" in overrides else NO_PATTERN
        numbers = {name: self(name) for name in ("pattern_opacity", "pattern_blur", "pattern_ambient")}
        seed = overrides.get("pattern_seed", int(self.share("pattern_seed") * 2**24))
        return numbers | {"pattern_id": pattern.id, "pattern_seed": seed}, pattern.name


def _draw_sources(values: _Values) -> list[Source]:
    """The key light, and what else its setup has."""
    pattern, name = values.pattern()
    azimuth, intensity = values("light_azimuth"), float(np.float32(1.0) - np.float32(values("ambient")))
    direction = direction_of(values("light_elevation"), azimuth)
    key = {
        **_colors(values.color("light_color")),
        **{"intensity": intensity, "angular_size": values("angular_size")},
    }
    sources = [source_of("key", direction | key | values.surface() | pattern, name)]
    for kind in values("setup")[1:]:
        direction = direction_of(values(f"{kind}_elevation"), azimuth + 180 + values(f"{kind}_azimuth"))
        numbers = {
            **_colors(values.color(f"{kind}_color")),
            "intensity": intensity * values(f"{kind}_intensity"),
            "angular_size": values(f"{kind}_size"),
        }
        sources.append(source_of(kind, direction | numbers | values.surface()))
    return sources


def _find_environment(values: _Values, environments: Sequence[Environment]) -> Environment | None:
    """The environment that lights the picture, if any. Raises ValueError."""
    overrides = values.overrides
    if "environment" in overrides:
        name = overrides["environment"]
        if name == NO_ENVIRONMENT:
            return None
        if "setup" in overrides:
            raise ValueError("setup has no effect in an environment; leave out one of the two")
        known = {one.name: one for one in (*built_in(), *environments)}
        if name not in known:
            some = ", ".join([NO_ENVIRONMENT, *known][:_SHOWN]) + (", …" if len(known) >= _SHOWN else "")
            raise ValueError(f"environment must be one of {some}, not {name!r}")
        return known[name]
    chosen_otherwise = "setup" in overrides or "sources" in overrides
    is_lit = values.share("environment_probability") < values.lighting.environment_probability
    if not environments or chosen_otherwise or not is_lit:
        return None
    return environments[int(values.share("environment") * len(environments))]


def _lit_by(environment: Environment, values: _Values, seed: str, scene: Mapping[str, float]) -> Light:
    """The light of an environment, and of sources that were given besides. Raises ValueError."""
    if values.lighting.space != "linear":
        raise ValueError('an environment needs linear light: set space = "linear" in the lighting file')
    azimuth, exposure = values("environment_azimuth") % 360, values("environment_exposure")
    lit = exposed(turned(environment, azimuth), exposure)
    is_split = lit.spot is not None and values.share("environment_split") < values.lighting.environment_split
    sources = list(values.overrides.get("sources", ()))
    if is_split:
        assert lit.spot is not None
        intensity = max(lit.spot.color)
        # Only the first source has a pattern: one that was given keeps its own.
        pattern, name = ({}, "") if sources else values.pattern()
        sun = {
            **_directed(lit.spot.direction),
            **_colors([one / intensity for one in lit.spot.color]),
            **{"intensity": intensity, "angular_size": min(lit.spot.size, NUMBERS["angular_size"].interval.high)},
        }
        sources.append(source_of("sun", sun | values.surface() | pattern, name))
    irradiance = _irradiance(lit.rest if is_split else lit.whole)
    scenery = Scenery(environment.name, azimuth, exposure, is_split)
    return light_of(seed, sources, {**scene, **irradiance}, environment=scenery)


def _irradiance(coefficients: Iterable[Iterable[float]]) -> dict[str, float]:
    """The numbers of SCENE from RGB coefficients of HARMONICS; those that are left out are zero."""
    return {
        f"irradiance_{index}_{channel}": float(one)
        for index, color in enumerate(coefficients)
        for channel, one in zip(CHANNELS, color, strict=True)
    }


def _colors(color: Iterable[float]) -> dict[str, float]:
    return {f"color_{channel}": one for channel, one in zip(CHANNELS, color, strict=True)}


def direction_of(elevation: float, azimuth: float) -> dict[str, float]:
    """The unit vector toward a source, from degrees: (cos e cos a, cos e sin a, sin e)."""
    e, a = math.radians(elevation), math.radians(azimuth % 360)
    return _directed((math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)))


def _directed(vector: Iterable[float]) -> dict[str, float]:
    return {f"direction_{axis}": one for axis, one in zip("xyz", vector, strict=True)}


def _exact(number: float) -> float:
    return float(str(np.float32(number)))
