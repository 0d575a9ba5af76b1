"""What a CSV row decides about its own picture: columns such as light_azimuth, pattern or prompt."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from client.errors import RowError
from client.light.light import LIMITS, Color, Limits, Pattern, parse_color, parse_number, parse_pattern


@dataclass(frozen=True)
class Overrides:
    """The values a row gives, by column; None is drawn, or the run's. Units and ranges: client.light.light.LIMITS."""

    prompt: str | None = None
    seed: int | None = None
    light_azimuth: float | None = None
    light_elevation: float | None = None
    ambient: float | None = None
    relief: float | None = None
    specular: float | None = None
    shininess: float | None = None
    pattern: Pattern | None = None
    pattern_opacity: float | None = None
    pattern_blur: float | None = None
    pattern_seed: int | None = None
    albedo_blend: float | None = None
    light_color: Color | None = None
    gray: float | None = None


NO_OVERRIDES = Overrides()
COLUMN_NAMES = tuple(field.name for field in fields(Overrides))
LIGHT_NAMES = tuple(name for name in COLUMN_NAMES if name not in ("prompt", "seed"))
_SEED = Limits(-(2**63), 2**63 - 1, whole=True)
_ALIKE = 0.75  # the least that tells `grey` from `gray`

_PARSERS: dict[str, Callable[[str], Any]] = {
    **{name: partial(parse_number, limits=limits) for name, limits in LIMITS.items()},
    "prompt": str,
    "seed": lambda text: int(parse_number(text, _SEED)),
    "pattern_seed": lambda text: int(parse_number(text, LIMITS["pattern_seed"])),
    "pattern": parse_pattern,
    "light_color": parse_color,
}


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
    given = {}
    for name, text in texts.items():
        try:
            given[name] = _PARSERS[name](text)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    return Overrides(**given)


def nearest(column: str, names: Sequence[str] = COLUMN_NAMES) -> str | None:
    """Which of `names` this column may have been meant to be; their first word may be missing, as in `azimuth`."""
    name = column.lower().replace("-", "_").replace(" ", "_")
    shortened = {known.partition("_")[2]: known for known in names if "_" in known}
    whole = shortened | {known: known for known in names}
    near = difflib.get_close_matches(name, whole, 1, _ALIKE)
    return whole[near[0]] if near else None
