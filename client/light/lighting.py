"""Reads a lighting file (TOML): the distributions that lights are drawn from. lighting.toml explains each key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from client.light.distributions import Choice, SettingsError, colors, number, numbers, read_toml, weighted
from client.light.values import Pattern, parse_pattern, parse_setup
from contract.light import FACTOR, NUMBERS, SPACES, TABLE, UNIT, Interval

LIGHTING_FILE = Path(__file__).with_name("lighting.toml")  # the only place of the defaults

_SECTIONS = ("light", "setup", "fill", "rim", "pattern", "environment")
_TURN, _HEIGHT = NUMBERS["light_azimuth"].interval, NUMBERS["light_elevation"].interval
_EXPOSURE = Interval(0.01, 10)


@dataclass(frozen=True)
class Lighting:
    """The content of a lighting file; every distribution has a method `at`."""

    space: str  # of SPACES
    pattern_probability: float  # 0-1
    environment_probability: float  # 0-1, where there are environments
    environment_split: float  # 0-1
    drawn: Mapping[str, Any]  # the distribution of each drawn value; those with a CSV column by its name

    def settings(self) -> dict[str, Any]:
        """All of it as JSON values."""
        rest = {name: value for name, value in vars(self).items() if name != "drawn"}
        return rest | {name: asdict(distribution) for name, distribution in self.drawn.items()}

    def most_sources(self, *, environments: bool) -> int:
        """The most sources that a light can be drawn with; an environment has one at most."""
        if environments and self.environment_probability == 1:
            return 1
        return max(len(setup) for setup in self.drawn["setup"].values)


def read_lighting(path: str | Path = LIGHTING_FILE) -> Lighting:
    """Read the distributions in the file at `path`. Raises SettingsError."""
    found: dict[str, Any] = {}
    for key, value in read_toml(path, "lighting").items():
        if key in _SECTIONS and isinstance(value, dict):
            found.update({f"{key}.{inner}": one for inner, one in value.items()})
        else:
            found[key] = value
    for key in found:
        if key not in _KEYS:
            raise SettingsError(f"{path}: there is no key {key}{_meant(key)}")
    values = {}
    for key, (name, read) in _KEYS.items():
        if key not in found:
            raise SettingsError(f"{path}: the key {key} is missing; copy its line from {LIGHTING_FILE}")
        try:
            values[name] = read(found[key])
        except ValueError as error:
            raise SettingsError(f"{path}: {key} {error}") from error
    plain = {name: values.pop(name) for name in list(values) if name in Lighting.__dataclass_fields__}
    return Lighting(**plain, drawn=values)


def _meant(key: str) -> str:
    """Suggest the most similar key, else all. A key in the wrong section is similar to the keys of the same name."""
    namesakes = [known for known in _KEYS if known.rpartition(".")[2] == key.rpartition(".")[2]]
    near = namesakes or difflib.get_close_matches(key, [*_KEYS, *_SECTIONS], 1)
    return f"; did you mean {' or '.join(near)}?" if near else f"; the keys are {', '.join(_KEYS)}"


def _patterns(value: object) -> Choice[Pattern]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of weights by the patterns' names")
    return weighted([_pattern(name) for name in value], list(value.values()))


def _pattern(name: str) -> Pattern:
    try:
        pattern = parse_pattern(name)
    except ValueError as error:
        raise ValueError(f"has the pattern {name}, which {error}") from None
    if not pattern.id:
        raise ValueError(f"has the pattern {name}; to have none more often, lower pattern.probability")
    return pattern


def _setups(value: object) -> Choice[tuple[str, ...]]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of weights by the setups' names")
    try:
        setups = [parse_setup(name) for name in value]
    except ValueError as error:
        raise ValueError(f"has a name that {error}") from None
    return weighted(setups, list(value.values()))


def _space(value: object) -> str:
    if not isinstance(value, str) or value not in SPACES:
        raise ValueError(f"must be {' or '.join(SPACES)}, not {value!r}")
    return value


def _probability(value: object) -> float:
    return number(value, UNIT)


# Every key of the file: the value's name, which is its CSV column's where it has one, and how the key is read.
_KEYS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "space": ("space", _space),
    **{one.key: (one.name, numbers(one.interval)) for one in TABLE if one.key},
    "light.color": ("light_color", colors),
    "setup.weights": ("setup", _setups),
    **{
        f"{kind}.{key}": (f"{kind}_{key}", read)
        for kind in ("fill", "rim")
        for key, read in (
            ("intensity", numbers(FACTOR)),
            ("azimuth", numbers(_TURN)),
            ("elevation", numbers(_HEIGHT)),
            ("color", colors),
            ("size", numbers(NUMBERS["angular_size"].interval)),
        )
    },
    "pattern.probability": ("pattern_probability", _probability),
    "pattern.weights": ("pattern", _patterns),
    "environment.probability": ("environment_probability", _probability),
    "environment.azimuth": ("environment_azimuth", numbers(_TURN)),
    "environment.exposure": ("environment_exposure", numbers(_EXPOSURE)),
    "environment.split": ("environment_split", _probability),
}
