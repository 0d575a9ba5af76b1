"""The lights that a caller of the Python API asks for, in any of their forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.light.columns import LIGHT_NAMES, Overrides, nearest, parse_overrides
from client.light.draw import MOST_LIGHTS, direction_of, draw_light, light_seed
from client.light.environment import Environment
from client.light.light import KINDS, Light, Source, check_light, light_of_rows, named_light, source_of
from client.light.lighting import Lighting
from client.light.values import NO_PATTERN, color_in, parse_number
from contract.light import CHANNELS, LIGHT, NUMBERS, SCENE

OneLight = Light | Mapping[str, Any] | NDArray[Any]
Lights = int | OneLight | Sequence[OneLight] | None

_SOURCES = "sources"
# What a light with sources of its own may fix besides them.
_BESIDES = ("ambient", "relief", "albedo_blend", "gray", "environment", "environment_azimuth")
# The columns that a source may have; a drawn light has them for its key.
_OF_A_SOURCE = tuple(name for name in LIGHT_NAMES if name not in (*_BESIDES, "setup"))


def asked_lights(
    asked: Lights, lighting: Lighting, seed: int, path: str, environments: Sequence[Environment]
) -> list[Light]:
    """The requested lights of the photo at `path`; missing values are drawn. Raises ValueError with a sentence."""
    if asked is None or isinstance(asked, int):
        several: Sequence[OneLight] = [{}] * (1 if asked is None else min(asked, MOST_LIGHTS + 1))
    elif isinstance(asked, Light | Mapping):
        several = [asked]
    elif isinstance(asked, np.ndarray):
        several = list(np.atleast_2d(asked))
    else:
        several = asked
    if not 1 <= len(several) <= MOST_LIGHTS:
        raise ValueError(f"lights must hold at least one light and at most {MOST_LIGHTS:,}")
    return [_light(one, lighting, light_seed(seed, path, k), environments) for k, one in enumerate(several)]


def _light(asked: OneLight, lighting: Lighting, seed: str, environments: Sequence[Environment]) -> Light:
    if isinstance(asked, Light):
        check_light(asked)
        return asked
    if not isinstance(asked, Mapping):
        return light_of_rows(asked)
    if asked.keys() & {LIGHT, SCENE}:
        if asked.keys() != {LIGHT, SCENE}:
            raise ValueError(f"a light of tensors is a dict of {LIGHT} and {SCENE}, and nothing besides")
        return light_of_rows(asked[LIGHT], asked[SCENE])
    if "irradiance" in asked:
        return named_light(asked)
    return draw_light(lighting, seed, _overrides(asked, lighting.space), environments)


def _overrides(asked: Mapping[str, Any], space: str) -> Overrides:
    """Parse a dict of fixed values. Raises ValueError."""
    if _SOURCES not in asked:
        return _parsed(asked, (*LIGHT_NAMES, _SOURCES), "a light")
    for name in asked:
        if name in _OF_A_SOURCE or name == "setup":
            raise ValueError(f"a light with {_SOURCES} takes no {name} besides; write it into its sources")
    sources = tuple(_source(one, space, first=not k) for k, one in enumerate(asked[_SOURCES]))
    if not sources:
        raise ValueError(f"{_SOURCES} must hold at least one source")
    besides = {name: value for name, value in asked.items() if name != _SOURCES}
    return {**_parsed(besides, (*_BESIDES, _SOURCES), "a light"), _SOURCES: sources}


def _source(asked: Mapping[str, Any], space: str, *, first: bool) -> Source:
    """An exact source: what is left out has the contract's default. Raises ValueError."""
    given = dict(asked)
    kind = given.pop("kind", "key" if first else "fill")
    if kind not in KINDS:
        raise ValueError(f"the kind of a source must be one of {', '.join(KINDS)}, not {kind!r}")
    intensity = _number("intensity", given.pop("intensity", NUMBERS["intensity"].default))
    values = dict(_parsed(given, ("kind", "intensity", *_OF_A_SOURCE), "a source"))
    turn, height = (values.pop(name, NUMBERS[name].default) for name in ("light_azimuth", "light_elevation"))
    color = color_in(space, values.pop("light_color", (1.0, 1.0, 1.0)))
    pattern = values.pop("pattern", NO_PATTERN)
    colors = {f"color_{channel}": one for channel, one in zip(CHANNELS, color, strict=True)}
    numbers = {**values, **direction_of(height, turn), **colors, "intensity": intensity, "pattern_id": pattern.id}
    return source_of(kind, numbers, pattern.name)


def _number(name: str, value: object) -> float:
    try:
        return parse_number(str(value), NUMBERS[name].interval)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def _parsed(asked: Mapping[str, Any], names: Sequence[str], what: str) -> Overrides:
    """Parse a dict's values like the cells of a CSV. Raises ValueError."""
    for name in asked:
        if name not in names:
            meant = nearest(name, names)
            hint = f"did you mean {meant}?" if meant else f"choose from {', '.join(names)}"
            raise ValueError(f"{what} has no {name}; {hint}")
    return parse_overrides(
        {
            name: str(value) if np.ndim(value) == 0 else " ".join(str(number) for number in value)
            for name, value in asked.items()
            if value is not None
        }
    )
