"""Reads a lighting file (TOML): the distributions that lights are drawn from. lighting.toml explains the syntax."""

from __future__ import annotations

import difflib
import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

from client.light.values import Color, Pattern, parse_color, parse_pattern
from contract.light import SPACES, TABLE, UNIT, Interval

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIGHTING_FILE = Path(__file__).with_name("lighting.toml")  # the only place of the defaults

_SECTIONS = ("light", "pattern")
_WEIGHT = Interval(0, 10**9)
T = TypeVar("T")
R = TypeVar("R")


class SettingsError(ValueError):
    """The lighting file cannot be used; the message is a sentence with the file and the key."""


@dataclass(frozen=True)
class Uniform:
    """The uniform distribution from `low` to `high`; whole numbers include both ends."""

    low: float
    high: float
    whole: bool = False

    def at(self, share: float) -> float:
        """The quantile at `share`, 0 up to 1."""
        if self.whole:
            return self.low + int((self.high - self.low + 1) * share)
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True)
class UniformColor:
    """The uniform distribution of the mixtures of two colours in linear light."""

    low: Color
    high: Color

    def at(self, share: float) -> Color:
        """The mixture with `share` (0 up to 1) of `high`."""
        red, green, blue = (a + (b - a) * share for a, b in zip(self.low, self.high, strict=True))
        return red, green, blue


@dataclass(frozen=True)
class Choice(Generic[T]):
    """One of `values`, with a probability in proportion to its positive weight."""

    values: tuple[T, ...]
    weights: tuple[float, ...]

    def at(self, share: float) -> T:
        """The value at `share`, 0 up to 1, of the sum of the weights."""
        sums = list(accumulate(self.weights))
        return self.values[min(bisect_right(sums, share * sums[-1]), len(sums) - 1)]


Numbers = Uniform | Choice[float]
Colors = UniformColor | Choice[Color]


@dataclass(frozen=True)
class Lighting:
    """The content of a lighting file; every distribution has a method `at`."""

    space: str  # of SPACES
    pattern_probability: float  # 0-1
    drawn: Mapping[str, Any]  # the distribution of each drawn value, by the name of its CSV column

    def settings(self) -> dict[str, Any]:
        """All of it as JSON values."""
        rest = {"space": self.space, "pattern_probability": self.pattern_probability}
        return rest | {name: asdict(distribution) for name, distribution in self.drawn.items()}


def read_lighting(path: str | Path = LIGHTING_FILE) -> Lighting:
    """Read the distributions in the file at `path`. Raises SettingsError."""
    try:
        content = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the lighting file {path} cannot be opened ({error.strerror})") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"the lighting file {path} is not valid TOML: {error}") from error
    found: dict[str, Any] = {}
    for key, value in content.items():
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
    return Lighting(values.pop("space"), values.pop("pattern_probability"), values)


def _meant(key: str) -> str:
    """Suggest the most similar key, else all. A key in the wrong section is similar to the key of the same name."""
    namesakes = [known for known in _KEYS if known.rpartition(".")[2] == key.rpartition(".")[2]]
    near = namesakes or difflib.get_close_matches(key, [*_KEYS, *_SECTIONS], 1)
    return f"; did you mean {near[0]}?" if near else f"; the keys are {', '.join(_KEYS)}"


def _numbers(interval: Interval) -> Callable[[object], Numbers]:
    """A reader of a distribution of numbers within `interval`."""

    def between(low: float, high: float) -> Uniform:
        if low > high:
            raise ValueError(f"has a range that starts at {low:g}, above its end {high:g}")
        return Uniform(low, high, interval.whole)

    return lambda value: _distribution(value, lambda one: _number(one, interval), between)


def _colors(value: object) -> Colors:
    return _distribution(value, _color, UniformColor)


def _distribution(value: object, one: Callable[[object], T], between: Callable[[T, T], R]) -> R | Choice[T]:
    """Read a distribution as lighting.toml explains it: `one` reads a single value, `between` makes a range."""
    if isinstance(value, dict):
        return _choice(value, one)
    if not isinstance(value, list):
        return between(one(value), one(value))
    if len(value) != 2:
        raise ValueError(f"must be a range [low, high], or {{ choices = [...] }}, not a list of {len(value)}")
    return between(one(value[0]), one(value[1]))


def _choice(table: Mapping[str, object], one: Callable[[object], T]) -> Choice[T]:
    unknown = sorted(table.keys() - {"choices", "weights"})
    choices = table.get("choices")
    if unknown or not isinstance(choices, list) or not choices:
        what = f" and has {unknown[0]}" if unknown else ""
        raise ValueError(f"must have a list of choices, and weights if they differ{what}")
    weights = table.get("weights", [1] * len(choices))
    if not isinstance(weights, list) or len(weights) != len(choices):
        raise ValueError(f"must have as many weights as choices, {len(choices)}")
    return _weighted([one(choice) for choice in choices], weights)


def _weighted(values: Sequence[T], weights: Sequence[object]) -> Choice[T]:
    """A choice without the values of weight 0. Raises ValueError for invalid weights."""
    try:
        numbers = [_number(weight, _WEIGHT) for weight in weights]
    except ValueError as error:
        raise ValueError(f"has a weight that {error}") from None
    kept = [(value, number) for value, number in zip(values, numbers, strict=True) if number > 0]
    if not kept:
        raise ValueError("must have a weight above 0")
    return Choice(tuple(value for value, _ in kept), tuple(number for _, number in kept))


def _patterns(value: object) -> Choice[Pattern]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of weights by the patterns' names")
    return _weighted([_pattern(name) for name in value], list(value.values()))


def _pattern(name: str) -> Pattern:
    try:
        pattern = parse_pattern(name)
    except ValueError as error:
        raise ValueError(f"has the pattern {name}, which {error}") from None
    if not pattern.id:
        raise ValueError(f"has the pattern {name}; to have none more often, lower pattern.probability")
    return pattern


def _number(value: object, interval: Interval) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"must be {interval}, not {value!r}")
    return interval.check(value)


def _color(value: object) -> Color:
    return parse_color(value if isinstance(value, str) else repr(value))


def _space(value: object) -> str:
    if not isinstance(value, str) or value not in SPACES:
        raise ValueError(f"must be {' or '.join(SPACES)}, not {value!r}")
    return value


# Every key of the file: the CSV column of the same value, and how the key is read.
_KEYS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "space": ("space", _space),
    **{number.key: (number.name, _numbers(number.interval)) for number in TABLE if number.key},
    "light.color": ("light_color", _colors),
    "pattern.probability": ("pattern_probability", lambda value: _number(value, UNIT)),
    "pattern.weights": ("pattern", _patterns),
}
