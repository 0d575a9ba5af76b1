"""What a CSV row decides about its own picture: columns such as light_azimuth, pattern or prompt."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from client.errors import RowError
from client.light.values import parse_color, parse_number, parse_pattern
from contract.light import NUMBERS, TABLE, Interval

# The values that a row gives, by column; what is not in it is drawn, or the run's.
Overrides = Mapping[str, Any]
NO_OVERRIDES: Overrides = MappingProxyType({})

_SEED = Interval(-(2**63), 2**63 - 1, whole=True)
_ALIKE = 0.75  # the least that tells `grey` from `gray`


def _whole(interval: Interval) -> Callable[[str], int]:
    return lambda text: int(parse_number(text, interval))


_PARSERS: dict[str, Callable[[str], Any]] = {
    "prompt": str,
    "seed": _whole(_SEED),
    **{number.name: partial(parse_number, interval=number.interval) for number in TABLE if number.key},
    "pattern": parse_pattern,
    "pattern_seed": _whole(NUMBERS["pattern_seed"].interval),
    "light_color": parse_color,
}
COLUMN_NAMES = tuple(_PARSERS)
LIGHT_NAMES = tuple(name for name in COLUMN_NAMES if name not in ("prompt", "seed"))


@dataclass(frozen=True)
class OverrideColumns:
    """Where in a row its overrides are, and what is odd about the names of the columns."""

    places: Mapping[str, int]
    warnings: tuple[str, ...]  # sentences

    def read(self, values: Sequence[str]) -> Overrides:
        """The overrides of a row; an empty cell is none. Raises RowError naming the column and what it may hold."""
        given = {name: values[place] for name, place in self.places.items() if values[place].strip()}
        try:
            return parse_overrides(given)
        except ValueError as error:
            raise RowError(f"column {error}") from error


def find_columns(columns: Sequence[str]) -> OverrideColumns:
    """Which of a CSV's columns are overrides, and a warning for each that only looks like one."""
    places: dict[str, int] = {}
    warnings = []
    for place, column in enumerate(columns):
        name = column.strip()
        if name in places:
            warnings.append(f"the column {name} is there twice; the first one counts")
        elif name in COLUMN_NAMES:
            places[name] = place
        elif meant := nearest(name):
            warnings.append(f"the column {name} has no effect; did you mean {meant}?")
    return OverrideColumns(places, tuple(warnings))


def parse_overrides(texts: Mapping[str, str]) -> Overrides:
    """Overrides from their texts, by the columns' names. Raises ValueError, a sentence that starts with the name."""
    given: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            given[name] = _PARSERS[name](text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return given


def nearest(column: str, names: Sequence[str] = COLUMN_NAMES) -> str | None:
    """Which of `names` this column may have been meant to be; their first word may be missing, as in `azimuth`."""
    name = column.lower().replace("-", "_").replace(" ", "_")
    shortened = {known.partition("_")[2]: known for known in names if "_" in known}
    whole = shortened | {known: known for known in names}
    near = difflib.get_close_matches(name, whole, 1, _ALIKE)
    return whole[near[0]] if near else None
