"""One light: the numbers that are sent for a picture, and their names in its metadata."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.light.values import NO_PATTERN
from contract.light import LIGHT, PATTERNS, SCENE, SENT, SPACES, WIDTHS, check_rows, row_of
from contract.limits import missing_pattern

COLUMNS = tuple(number.name for number in SENT)


@dataclass(frozen=True)
class Light:
    """The numbers of a row of LIGHT and a row of SCENE, and their seed."""

    seed: str | None  # 16 hexadecimal digits; None if the light was not drawn
    elevation: float  # degrees above the picture's plane
    azimuth: float  # degrees, 0 up to 360: 0 from the right, 90 from below
    values: tuple[float, ...]  # in the order of COLUMNS, each the shortest text of its float32
    pattern: str = ""  # the pattern's name, if it was requested by name

    @property
    def numbers(self) -> dict[str, float]:
        """The values by name."""
        return dict(zip(COLUMNS, self.values, strict=True))

    @property
    def pattern_id(self) -> int:
        """0 is none."""
        return round(self.numbers["pattern_id"])

    @property
    def space(self) -> str:
        """Whether the light multiplies `linear` or `srgb` values."""
        return SPACES[round(self.numbers["arithmetic"])]

    def named(self, patterns: Sequence[str] | None = None) -> dict[str, Any]:
        """Every number by name, for the metadata.

        `patterns` are the server's own names of its patterns, by id from 1.
        """
        return {
            "seed": self.seed,
            "elevation": self.elevation,
            "azimuth": self.azimuth,
            "pattern": pattern_name(self.pattern_id, PATTERNS if patterns is None else patterns),
            "space": self.space,
            **self.numbers,
        }


def light_of(numbers: Mapping[str, float], seed: str | None = None, pattern: str = "") -> Light:
    """Make a light from numbers named as in COLUMNS. Raises ValueError with a sentence."""
    values = tuple(float(str(np.float32(numbers[name]))) for name in COLUMNS)  # JSON of float32 stays short
    exact = dict(zip(COLUMNS, values, strict=True))
    x, y, z = (exact[f"direction_{axis}"] for axis in "xyz")
    elevation = math.degrees(math.atan2(z, math.hypot(x, y)))
    light = Light(seed, elevation, math.degrees(math.atan2(y, x)) % 360, values, pattern)
    check_light(light)
    return light


def check_light(light: Light) -> None:
    """Raise ValueError, a sentence, where a number is none that a light can have."""
    numbers = light.numbers
    for tensor in (LIGHT, SCENE):
        check_rows(tensor, [row_of(tensor, numbers)])


def light_of_row(row: Sequence[float] | NDArray[Any]) -> Light:
    """Make a light from a row of LIGHT, or from one followed by a row of SCENE. Raises ValueError with a sentence."""
    given = np.asarray(row, np.float32)
    if given.shape not in ((WIDTHS[LIGHT],), (WIDTHS[LIGHT] + WIDTHS[SCENE],)):
        raise ValueError(f"a light is a row of LIGHT, {WIDTHS[LIGHT]} numbers, or one with a row of SCENE after it")
    rows = {LIGHT: given[: WIDTHS[LIGHT]].tolist(), SCENE: given[WIDTHS[LIGHT] :].tolist() or row_of(SCENE, {})}
    for tensor, numbers in rows.items():
        check_rows(tensor, [numbers])
    return light_of({number.name: rows[number.tensor][number.position] for number in SENT})


def named_light(entry: Mapping[str, Any]) -> Light:
    """The light of an entry of `lights` in metadata.json. Raises ValueError with a sentence."""
    return light_of(entry, entry.get("seed"))


def light_tensors(lights: Sequence[Light]) -> dict[str, NDArray[np.float32]]:
    """LIGHT [1,K,16] and SCENE [1,K,32] of the ensemble, float32. Raises ValueError if the spaces differ."""
    if len({light.space for light in lights}) > 1:
        raise ValueError("the lights of one photo must share their space, linear or srgb")
    numbers = [light.numbers for light in lights]
    return {tensor: np.array([[row_of(tensor, one) for one in numbers]], np.float32) for tensor in (LIGHT, SCENE)}


def pattern_name(number: int, names: Sequence[str]) -> str:
    """The name of pattern `number`: `none` for 0, the number itself if it has no name."""
    return NO_PATTERN.name if number == 0 else names[number - 1] if number <= len(names) else str(number)


def server_patterns(info: Mapping[str, Any]) -> list[str] | None:
    """The names of the server's patterns by id from 1, read from INFO; None if it lacks them."""
    names: list[str] | None = info.get("models", {}).get("shadow", {}).get("patterns")
    return names


def check_patterns(lights: Sequence[Light], names: Sequence[str] | None) -> None:
    """Raise ValueError if a light asks for a pattern that is not among the server's `names`.

    A name must mean the same pattern on both sides, because a server may have been exported with other materials.
    """
    if names is None:
        return
    for light in lights:
        number = light.pattern_id
        missing = number > len(names) or (number and light.pattern and names[number - 1] != light.pattern)
        if missing:
            label = f"{number} ({light.pattern})" if light.pattern else f"{number}"
            raise ValueError(missing_pattern(label, names))
