"""What a settings file (TOML) may hold: distributions of numbers, colours and choices. lighting.toml explains them."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

from client.light.values import Color, parse_color
from contract.light import Interval

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_WEIGHT = Interval(0, 10**9)
T = TypeVar("T")
R = TypeVar("R")


class SettingsError(ValueError):
    """A file of settings cannot be used; the message is a sentence with the file and the key."""


def read_toml(path: str | Path, kind: str) -> dict[str, Any]:
    """The content of a settings file, which a message calls the `kind` file. Raises SettingsError."""
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"the {kind} file {path} cannot be opened ({error.strerror})") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise SettingsError(f"the {kind} file {path} is not valid TOML: {error}") from error


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


def numbers(interval: Interval) -> Callable[[object], Numbers]:
    """A reader of a distribution of numbers within `interval`."""

    def between(low: float, high: float) -> Uniform:
        if low > high:
            raise ValueError(f"has a range that starts at {low:g}, above its end {high:g}")
        return Uniform(low, high, interval.whole)

    return lambda value: _distribution(value, lambda one: number(one, interval), between)


def colors(value: object) -> Colors:
    """Read a distribution of colours. Raises ValueError with the rest of a sentence."""
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
    return weighted([one(choice) for choice in choices], weights)


def weighted(values: Sequence[T], weights: Sequence[object]) -> Choice[T]:
    """A choice without the values of weight 0. Raises ValueError for invalid weights."""
    try:
        sizes = [number(weight, _WEIGHT) for weight in weights]
    except ValueError as error:
        raise ValueError(f"has a weight that {error}") from None
    kept = [(value, size) for value, size in zip(values, sizes, strict=True) if size > 0]
    if not kept:
        raise ValueError("must have a weight above 0")
    return Choice(tuple(value for value, _ in kept), tuple(size for _, size in kept))


def number(value: object, interval: Interval) -> float:
    """Read a plain number within `interval`. Raises ValueError with the rest of a sentence."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"must be {interval}, not {value!r}")
    return interval.check(value)


def _color(value: object) -> Color:
    return parse_color(value if isinstance(value, str) else repr(value))
