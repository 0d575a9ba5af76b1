"""The columns of a CSV, such as light_azimuth, pattern or prompt, that override values of their row."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from client.errors import RowError
from client.light.values import parse_color, parse_number, parse_pattern, parse_setup
from contract.light import NUMBERS, TABLE, Interval

# A row's own values by column; a missing value is drawn, or the run's.
Overrides = Mapping[str, Any]
NO_OVERRIDES: Overrides = MappingProxyType({})

_SEED = Interval(-(2**63), 2**63 - 1, whole=True)
_DROPPED = ("light_", "pattern_", "albedo_")
_ALIKE = 0.75  # the similarity (difflib's ratio, 0-1) of `grey` and `gray`


def _whole(interval: Interval) -> Callable[[str], int]:
    return lambda text: int(parse_number(text, interval))


_PARSERS: dict[str, Callable[[str], Any]] = {
    "prompt": str,
    "seed": _whole(_SEED),
    "background": str.strip,
    "setup": parse_setup,
    "environment": str.strip,
    "environment_azimuth": partial(parse_number, interval=NUMBERS["light_azimuth"].interval),
    **{number.name: partial(parse_number, interval=number.interval) for number in TABLE if number.key},
    "pattern": parse_pattern,
    "pattern_seed": _whole(NUMBERS["pattern_seed"].interval),
    "light_color": parse_color,
}
COLUMN_NAMES = tuple(_PARSERS)
LIGHT_NAMES = tuple(name for name in COLUMN_NAMES if name not in ("prompt", "seed", "background"))


@dataclass(frozen=True)
class OverrideColumns:
    """The positions of the override columns, and warnings about the columns' names."""

    places: Mapping[str, int]
    warnings: tuple[str, ...]  # sentences

    def read(self, values: Sequence[str]) -> Overrides:
        """Read a row's overrides; an empty cell is none. Raises RowError with the column and its allowed values."""
        given = {name: values[place] for name, place in self.places.items() if values[place].strip()}
        try:
            return parse_overrides(given)
        except ValueError as error:
            raise RowError(f"column {error}") from error


def find_columns(columns: Sequence[str]) -> OverrideColumns:
    """Find the override columns of a CSV, and warn of each column that only looks like one."""
    places: dict[str, int] = {}
    warnings = []
    for place, column in enumerate(columns):
        name = column.strip()
        if name in places:
            warnings.append(f"the column {name} occurs twice; the first one is used")
        elif name in COLUMN_NAMES:
            places[name] = place
        elif meant := nearest(name):
            warnings.append(f"the column {name} has no effect; did you mean {meant}?")
    return OverrideColumns(places, tuple(warnings))


def parse_overrides(texts: Mapping[str, str]) -> Overrides:
    """Parse overrides, by the columns' names. Raises ValueError, a sentence that starts with the name."""
    given: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            given[name] = _PARSERS[name](text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return given


def nearest(column: str, names: Sequence[str] = COLUMN_NAMES) -> str | None:
    """The most similar of `names`, if any; the first word may be missing, as in `azimuth`."""
    name = column.lower().replace("-", "_").replace(" ", "_")
    shortened = {known.partition("_")[2]: known for known in names if known.startswith(_DROPPED)}
    whole = shortened | {known: known for known in names}
    near = difflib.get_close_matches(name, whole, 1, _ALIKE)
    return whole[near[0]] if near else None
