"""The numbers of a light source and of the picture that it lights: place, range, default and unit, in one table.

A request has K pictures of one photo, each with up to L sources. LIGHT is float32 [K,L,16], a row for each source: one
with intensity 0 is absent, and only the first of a picture may have a pattern. SCENE is float32 [K,32], a row for the
rest that shapes a picture: above all the environment, the light from everywhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LIGHT, SCENE = "LIGHT", "SCENE"
WIDTHS = {LIGHT: 16, SCENE: 32}
SPACES = ("linear", "srgb")  # what the numbers 0 and 1 of `arithmetic` mean: the values that a light multiplies
# The shadow patterns of every server, by id from 1. A server may have its user's own after or instead of them.
PATTERNS = (
    *("tree_foliage", "venetian_blinds", "window", "branch", "curtain"),
    *("fence", "voronoi", "lattice", "cloud", "screen"),
)


@dataclass(frozen=True)
class Interval:
    """The numbers from `low` to `high`, both included."""

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


UNIT = Interval(0, 1)
FACTOR = Interval(0, 10)
WHOLE = Interval(0, 2**24 - 1, whole=True)  # the whole numbers that float32 holds exactly


@dataclass(frozen=True)
class Number:
    """One number: where it is sent, what it may be, and where it is drawn.

    Attributes:
        name: of the CSV's column and in metadata.json.
        tensor, position: its place in a row of LIGHT or SCENE; an empty name where it is not sent as it is.
        key: of its distribution in a lighting file, empty where it has none.
        draw: its place among the random numbers of a light, −1 where it has none.
    """

    name: str
    tensor: str
    position: int
    interval: Interval
    default: float
    unit: str
    key: str = ""
    draw: int = -1


def _of_harmonic(index: int) -> Interval:
    """The range of a coefficient: at most twice the mean, and only the mean is never negative."""
    return FACTOR if index == 0 else Interval(-2 * FACTOR.high, 2 * FACTOR.high)


# The environment's irradiance ÷ π, what a white surface with the unit normal n = (x, y, z) returns, is the sum of nine
# coefficients per channel times these polynomials: spherical harmonics up to order 2 without their constants, after
# Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001.
HARMONICS = ("1", "y", "z", "x", "xy", "yz", "3z² − 1", "xz", "x² − y²")
CHANNELS = ("red", "green", "blue")
# What is behind the person, by number from 0: a plain gray; the photo's own, exposed like the person; a plane of that
# gray under the person's light; the picture that the request brings as BACKDROP.
BACKGROUNDS = ("gray", "photo", "relit", "picture")

# The direction is a unit vector toward the source: +x right, +y down, +z toward the camera; where z is negative it
# stands behind the person. The two angles give it: (cos e · cos a, cos e · sin a, sin e).
TABLE = (
    Number("light_azimuth", "", 0, Interval(-360, 360), 0, "°: 0 from the right, 90 from below", "light.azimuth", 1),
    Number("light_elevation", "", 0, Interval(-90, 90), 45, "° in front of the picture's plane", "light.elevation", 0),
    Number("direction_x", LIGHT, 0, Interval(-1, 1), 0, "of a unit vector"),
    Number("direction_y", LIGHT, 1, Interval(-1, 1), 0, "of a unit vector"),
    Number("direction_z", LIGHT, 2, Interval(-1, 1), 1, "of a unit vector"),
    Number("intensity", LIGHT, 3, FACTOR, 1, "linear; 0 is absent; of a drawn key light 1 − ambient"),
    Number("color_red", LIGHT, 4, FACTOR, 1, "multiplier"),
    Number("color_green", LIGHT, 5, FACTOR, 1, "multiplier"),
    Number("color_blue", LIGHT, 6, FACTOR, 1, "multiplier"),
    Number("specular", LIGHT, 7, UNIT, 0, "share of the intensity", "light.specular", 4),
    Number("shininess", LIGHT, 8, Interval(1, 1000), 32, "exponent", "light.shininess", 5),
    Number("pattern_id", LIGHT, 9, WHOLE, 0, "0 is none"),
    Number("pattern_opacity", LIGHT, 10, UNIT, 0.75, "share of the source that it takes", "pattern.opacity", 7),
    Number("pattern_blur", LIGHT, 11, Interval(0, 16), 5, "σ in px of a photo of side 1024", "pattern.blur", 8),
    Number("pattern_seed", LIGHT, 12, WHOLE, 0, "chooses drawing and place of the pattern", draw=9),
    Number("angular_size", LIGHT, 13, Interval(0, 90), 0, "° across: how soft its cast shadows are", "light.size", 14),
    Number("pattern_ambient", LIGHT, 14, UNIT, 1, "share of the pattern on the environment", "pattern.ambient", 15),
    Number("cast_shadow", LIGHT, 15, UNIT, 0, "share of the source that a cast shadow takes", "light.cast", 16),
    Number("ambient", "", 0, UNIT, 0, "linear, of the key's colour, from all around", "light.ambient", 2),
    *(
        Number(f"irradiance_{index}_{channel}", SCENE, 3 * index + place, _of_harmonic(index), 0, f"times {harmonic}")
        for index, harmonic in enumerate(HARMONICS)
        for place, channel in enumerate(CHANNELS)
    ),
    Number("relief", SCENE, 27, FACTOR, 1, "0 is flat, 1 natural", "light.relief", 3),
    Number("albedo_blend", SCENE, 28, UNIT, 0, "share of the photo in its albedo", "albedo_blend", 10),
    Number("gray", SCENE, 29, Interval(0, 255, whole=True), 128, "sRGB level of the background", "gray", 13),
    Number("arithmetic", SCENE, 30, Interval(0, 1, whole=True), 0, "0 linear values, 1 sRGB values"),
    Number("background", SCENE, 31, Interval(0, len(BACKGROUNDS) - 1, whole=True), 0, ", ".join(BACKGROUNDS)),
)
NUMBERS = {number.name: number for number in TABLE}
SENT = tuple(number for number in TABLE if number.tensor)
# Drawn as well, though no single number: a pattern's name, whether there is one, and a colour.
DRAWS = {**{number.name: number.draw for number in TABLE if number.draw >= 0}} | {
    "pattern": 6,
    "pattern_probability": 11,
    "light_color": 12,
}


def position(name: str) -> int:
    """Where a number is in the rows of its tensor."""
    return NUMBERS[name].position


def row_of(tensor: str, values: Mapping[str, float]) -> list[float]:
    """A row of LIGHT or SCENE; what `values` leaves out has its default."""
    row = [0.0] * WIDTHS[tensor]
    for number in SENT:
        if number.tensor == tensor:
            row[number.position] = values.get(number.name, number.default)
    return row


def check_rows(tensor: str, rows: Iterable[Sequence[float]], sources: int = 1) -> None:
    """Raise ValueError, a sentence, where a row of LIGHT or SCENE holds what no light can have.

    Every `sources` rows of LIGHT are those of one picture, of which the first alone may have a pattern.
    """
    named = {number.position: number for number in SENT if number.tensor == tensor}

    def place_of(index: int, place: object) -> str:
        row = f"{index // sources},{index % sources}" if tensor == LIGHT else f"{index}"
        return f"{tensor}[{row},{place}]"

    for index, row in enumerate(rows):
        for place, value in enumerate(row):
            if place not in named and value != 0:
                raise ValueError(f"{place_of(index, place)} has no meaning and must be 0, not {value:g}")
            if place in named:
                try:
                    named[place].interval.check(value)
                except ValueError as error:
                    raise ValueError(f"{place_of(index, place)} ({named[place].name}) {error}") from None
        if tensor == LIGHT and index % sources and row[position("pattern_id")]:
            raise ValueError(
                f"{place_of(index, 9)} (pattern_id) must be 0: a picture's first source alone has a pattern"
            )
        if tensor == LIGHT and not 0.99 < math.hypot(*row[:3]) < 1.01:
            raise ValueError(f"{place_of(index, '0:3')} (direction) must have length 1, not {math.hypot(*row[:3]):g}")
