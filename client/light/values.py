"""Parses the values of a light: numbers, colours, shadow patterns, setups of sources."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

from contract.light import FACTOR, PATTERNS, WHOLE, Interval

Color = tuple[float, float, float]  # multipliers of red, green and blue in linear light


class Pattern(NamedTuple):
    """A requested shadow pattern: its id, and its name if it was requested by name."""

    id: int
    name: str = ""


NO_PATTERN = Pattern(0, "none")
# The kinds of sources that light a person together, by name.
SETUPS = {
    "key": ("key",),
    "key_fill": ("key", "fill"),
    "key_rim": ("key", "rim"),
    "key_fill_rim": ("key", "fill", "rim"),
}


def parse_number(text: str, interval: Interval) -> float:
    """Parse a number within `interval`. Raises ValueError with the rest of a sentence."""
    try:
        # int() is exact beyond float64's precision; pandas writes 7 as "7.0" in a column with empty cells.
        number = int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text)
    except ValueError:
        raise ValueError(f"must be {interval}, not {text!r}") from None
    return interval.check(number)


def parse_pattern(text: str) -> Pattern:
    """Parse a pattern's name or id, or `none`. Raises ValueError with the rest of a sentence."""
    name = text.strip()
    if name == NO_PATTERN.name:
        return NO_PATTERN
    if name in PATTERNS:
        return Pattern(PATTERNS.index(name) + 1, name)
    try:
        return Pattern(int(parse_number(name, WHOLE)))
    except ValueError:
        near = difflib.get_close_matches(name.lower(), PATTERNS, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join((NO_PATTERN.name, *PATTERNS))
        raise ValueError(
            f"must be one of {known}, or the number of a material on the server, not {text!r}{meant}"
        ) from None


def parse_setup(text: str) -> tuple[str, ...]:
    """Parse the name of a setup to its kinds of sources. Raises ValueError with the rest of a sentence."""
    if text.strip() not in SETUPS:
        raise ValueError(f"must be one of {', '.join(SETUPS)}, not {text!r}")
    return SETUPS[text.strip()]


def parse_color(text: str) -> Color:
    """Parse `#rrggbb` in sRGB, or three linear multipliers. Raises ValueError with the rest of a sentence."""
    digits = re.fullmatch(r"\s*#([0-9a-fA-F]{6})\s*", text)
    if digits:
        red, green, blue = (_to_linear(level / 255) for level in bytes.fromhex(digits[1]))
        return red, green, blue
    try:
        red, green, blue = (parse_number(number, FACTOR) for number in text.split())
    except ValueError:
        raise ValueError(f"must be #rrggbb or three numbers r g b, each from 0 to 10, not {text!r}") from None
    return red, green, blue


def color_in(space: str, color: Color) -> Color:
    """The multipliers of a pixel's values in `space`: for sRGB, the sRGB value of each multiplier."""
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
