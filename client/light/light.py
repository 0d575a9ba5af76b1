"""A light: the 16 numbers of a row of LIGHT, what each may be, and how they are named and told."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# The columns of LIGHT, in order. Direction is a unit vector: +x right, +y down, +z to the camera.
COLUMNS = (
    "direction_x",
    "direction_y",
    "direction_z",
    "ambient",
    "relief",
    "specular",
    "shininess",
    "pattern_id",
    "pattern_opacity",
    "pattern_blur",
    "albedo_blend",
    "color_red",
    "color_green",
    "color_blue",
    "pattern_seed",
    "gray_and_space",  # the background's gray, plus 256 where the maths is done on sRGB values
)
_SRGB = 256
_PATTERN_ID, _GRAY = COLUMNS.index("pattern_id"), COLUMNS.index("gray_and_space")

SPACES = ("linear", "srgb")
# The patterns of every server, by id from 1. A server may have its user's own materials after or instead of them.
PATTERNS = (
    "tree_foliage",
    "venetian_blinds",
    "window",
    "branch",
    "curtain",
    "fence",
    "voronoi",
    "lattice",
    "cloud",
    "screen",
)

Color = tuple[float, float, float]  # multipliers of red, green and blue in linear light


@dataclass(frozen=True)
class Limits:
    """The interval a number may lie in, both ends included."""

    low: float
    high: float
    whole: bool = False

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low} to {self.high}"

    def check(self, number: float) -> float:
        """The number itself. Raises ValueError, the rest of a sentence, where it is outside."""
        if not self.low <= number <= self.high or (self.whole and number != int(number)):
            raise ValueError(f"must be {self}, not {number}")
        return number


LIMITS = {
    "light_azimuth": Limits(-360, 360),  # degrees
    "light_elevation": Limits(0, 90),  # degrees
    "ambient": Limits(0, 1),
    "relief": Limits(0, 10),
    "specular": Limits(0, 1),
    "shininess": Limits(1, 1000),
    "pattern_opacity": Limits(0, 1),
    "pattern_blur": Limits(0, 16),  # pixels at 1024; the softest that the server has
    "pattern_seed": Limits(0, 2**24 - 1, whole=True),  # the integers that float32 holds exactly
    "albedo_blend": Limits(0, 1),
    "gray": Limits(0, 255, whole=True),
}
_COLOR_LIMITS = Limits(0, 10)
_PATTERN_ID_LIMITS = Limits(0, 2**24 - 1, whole=True)


class Pattern(NamedTuple):
    """A shadow pattern as it was asked for: its id, and its name where it was asked for by name."""

    id: int
    name: str = ""


NO_PATTERN = Pattern(0, "none")


@dataclass(frozen=True)
class Light:
    """One light: the 16 numbers of a row of LIGHT and where they came from."""

    seed: str | None  # 16 hexadecimal digits; None where the light was not drawn
    elevation: float  # degrees above the picture's plane
    azimuth: float  # degrees, 0 up to 360: 0 from the right, 90 from below
    values: tuple[float, ...]  # in the order of COLUMNS, each the shortest text of its float32
    pattern: str = ""  # the name of the pattern where it was asked for by name

    @property
    def pattern_id(self) -> int:
        """0 is none."""
        return round(self.values[_PATTERN_ID])

    @property
    def gray(self) -> float:
        """Of the background, 0-255, sRGB."""
        return self.values[_GRAY] % _SRGB

    @property
    def space(self) -> str:
        """Which values the light multiplies: those of `linear` light, or those of `srgb`."""
        return SPACES[self.values[_GRAY] >= _SRGB]

    def named(self, patterns: Sequence[str] | None = None) -> dict[str, Any]:
        """Every number by its name, for the metadata; the 16 of COLUMNS are what is sent.

        `patterns` are the server's own names of its patterns, by id from 1.
        """
        return {
            "seed": self.seed,
            "elevation": self.elevation,
            "azimuth": self.azimuth,
            "pattern": pattern_name(self.pattern_id, PATTERNS if patterns is None else patterns),
            "gray": self.gray,
            "space": self.space,
            **dict(zip(COLUMNS, self.values, strict=True)),
        }


def light_of(values: Sequence[float] | NDArray[Any], seed: str | None = None, pattern: str = "") -> Light:
    """A light from its 16 numbers, in the order of COLUMNS. Raises ValueError with a sentence."""
    row = np.asarray(values, np.float32)
    if row.shape != (len(COLUMNS),) or not np.isfinite(row).all():
        raise ValueError(f"a light is {len(COLUMNS)} finite numbers: {', '.join(COLUMNS)}")
    x, y, z = row[:3].tolist()
    elevation = math.degrees(math.atan2(z, math.hypot(x, y)))
    return Light(seed, elevation, math.degrees(math.atan2(y, x)) % 360, exact(row.tolist()), pattern)


def named_light(entry: Mapping[str, Any]) -> Light:
    """The light of an entry of `lights` in metadata.json. Raises ValueError with a sentence."""
    return light_of([entry[name] for name in COLUMNS], entry.get("seed"))


def exact(numbers: Sequence[float]) -> tuple[float, ...]:
    """Numbers as float32 holds them, each the float64 of shortest text, so that JSON stays readable."""
    return tuple(float(str(np.float32(number))) for number in numbers)


def light_tensor(lights: Sequence[Light]) -> NDArray[np.float32]:
    """LIGHT as the ensemble takes it: float32 [1, K, 16]. Raises ValueError where the spaces differ."""
    if len({light.space for light in lights}) > 1:
        raise ValueError("the lights of one photo must share their space, linear or srgb")
    return np.array([[light.values for light in lights]], np.float32)


def gray_and_space(gray: float, space: str) -> float:
    """The last number of LIGHT."""
    return gray + _SRGB * SPACES.index(space)


def pattern_name(number: int, names: Sequence[str]) -> str:
    """The name of pattern `number`, `none` of 0, else its number where it has no name."""
    return NO_PATTERN.name if number == 0 else names[number - 1] if number <= len(names) else str(number)


def server_patterns(info: Mapping[str, Any]) -> list[str] | None:
    """The names of the server's patterns by id from 1, as INFO has them; None where it does not."""
    names: list[str] | None = info.get("models", {}).get("shadow", {}).get("patterns")
    return names


def check_patterns(lights: Sequence[Light], names: Sequence[str] | None) -> None:
    """Raise ValueError where a light asks for a pattern that the server, which has `names`, has not.

    A name must mean the same pattern on both sides: a server may have been exported with other materials.
    """
    if names is None:
        return
    for light in lights:
        number = light.pattern_id
        missing = number > len(names) or (number and light.pattern and names[number - 1] != light.pattern)
        if missing:
            label = f"{number} ({light.pattern})" if light.pattern else f"{number}"
            own = ", ".join(f"{index} {name}" for index, name in enumerate(names, start=1))
            raise ValueError(f"the server has no pattern {label}; it has {own or 'none'}")


def parse_number(text: str, limits: Limits) -> float:
    """`text` as a number within `limits`. Raises ValueError with the rest of a sentence."""
    try:
        # A whole number beyond float64's precision stays itself; "7.0" is what pandas writes beside empty cells.
        number = int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text)
    except ValueError:
        raise ValueError(f"must be {limits}, not {text!r}") from None
    return limits.check(number)


def parse_pattern(text: str) -> Pattern:
    """A pattern by its name, its id, or `none`. Raises ValueError with the rest of a sentence."""
    name = text.strip()
    if name == NO_PATTERN.name:
        return NO_PATTERN
    if name in PATTERNS:
        return Pattern(PATTERNS.index(name) + 1, name)
    try:
        return Pattern(int(parse_number(name, _PATTERN_ID_LIMITS)))
    except ValueError:
        near = difflib.get_close_matches(name.lower(), PATTERNS, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join((NO_PATTERN.name, *PATTERNS))
        raise ValueError(
            f"must be one of {known}, or the number of a material of the server's, not {text!r}{meant}"
        ) from None


def parse_color(text: str) -> Color:
    """`#rrggbb` in sRGB, or three multipliers of linear light. Raises ValueError with the rest of a sentence."""
    digits = re.fullmatch(r"\s*#([0-9a-fA-F]{6})\s*", text)
    if digits:
        red, green, blue = (_to_linear(level / 255) for level in bytes.fromhex(digits[1]))
        return red, green, blue
    try:
        red, green, blue = (parse_number(number, _COLOR_LIMITS) for number in text.split())
    except ValueError:
        raise ValueError(f"must be #rrggbb or three numbers r g b, each from 0 to 10, not {text!r}") from None
    return red, green, blue


def color_in(space: str, color: Color) -> Color:
    """What multiplies the values of a pixel in `space`: in sRGB, the sRGB value of each multiplier."""
    if space == "linear":
        return color
    red, green, blue = (_to_srgb(share) for share in color)
    return red, green, blue


def _to_linear(value: float) -> float:
    """sRGB's transfer function (IEC 61966-2-1), decoding."""
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def _to_srgb(value: float) -> float:
    """sRGB's transfer function (IEC 61966-2-1), encoding."""
    return value * 12.92 if value <= 0.0031308 else float(1.055 * value ** (1 / 2.4) - 0.055)
