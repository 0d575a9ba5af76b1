"""The numbers of a light and of the picture that it lights: name, place, range, default and unit of each, once.

A request has K pictures of one photo. LIGHT is float32 [K,16], a row for the light of each picture; SCENE is float32
[K,32], a row for the rest that shapes it. Elements of the two that no row of the table names are zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LIGHT, SCENE = "LIGHT", "SCENE"
WIDTHS = {LIGHT: 16, SCENE: 32}
LARGEST_WHOLE = 2**24 - 1  # float32 holds every whole number up to this one exactly


@dataclass(frozen=True)
class Number:
    """One number: where it is sent, and the interval that it lies in, both ends included."""

    name: str  # of the CSV's column and in metadata.json
    tensor: str  # LIGHT or SCENE; empty where it is not sent as it is
    position: int  # in a row of the tensor
    low: float
    high: float
    default: float
    unit: str
    whole: bool = False

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low} to {self.high}"

    def check(self, number: float) -> float:
        """The number itself. Raises ValueError, the rest of a sentence, where it is not in the interval."""
        if not self.low <= number <= self.high or (self.whole and number != int(number)):
            raise ValueError(f"must be {self}, not {number}")
        return number


# Direction is a unit vector toward the light: +x right, +y down, +z toward the camera. The two angles make it:
# (cos e · cos a, cos e · sin a, sin e).
TABLE = (
    Number("light_azimuth", "", 0, -360, 360, 0, "degrees: 0 from the right, 90 from below"),
    Number("light_elevation", "", 0, 0, 90, 45, "degrees above the picture's plane"),
    Number("direction_x", LIGHT, 0, -1, 1, 0, "of a unit vector"),
    Number("direction_y", LIGHT, 1, -1, 1, 0, "of a unit vector"),
    Number("direction_z", LIGHT, 2, 0, 1, 1, "of a unit vector"),
    Number("intensity", LIGHT, 3, 0, 10, 1, "linear; what is not ambient"),
    Number("color_red", LIGHT, 4, 0, 10, 1, "multiplier"),
    Number("color_green", LIGHT, 5, 0, 10, 1, "multiplier"),
    Number("color_blue", LIGHT, 6, 0, 10, 1, "multiplier"),
    Number("specular", LIGHT, 7, 0, 1, 0, "linear"),
    Number("shininess", LIGHT, 8, 1, 1000, 32, "exponent"),
    Number("pattern_id", LIGHT, 9, 0, LARGEST_WHOLE, 0, "0 is none", whole=True),
    Number("pattern_opacity", LIGHT, 10, 0, 1, 0.75, "share"),
    Number("pattern_blur", LIGHT, 11, 0, 16, 5, "standard deviation in pixels of a photo of side 1024"),
    Number("pattern_seed", LIGHT, 12, 0, LARGEST_WHOLE, 0, "", whole=True),
    Number("ambient", SCENE, 0, 0, 1, 0, "linear, white light from all around"),
    Number("relief", SCENE, 27, 0, 10, 1, "0 is flat, 1 natural"),
    Number("albedo_blend", SCENE, 28, 0, 1, 0, "share of the photo in the albedo"),
    Number("gray", SCENE, 29, 0, 255, 128, "sRGB level of the background", whole=True),
    Number("arithmetic", SCENE, 30, 0, 1, 0, "0 on linear light, 1 on sRGB values", whole=True),
)
NUMBERS = {number.name: number for number in TABLE}
SENT = tuple(number for number in TABLE if number.tensor)


def position(name: str) -> int:
    """Where a number is in the rows of its tensor."""
    return NUMBERS[name].position


def row_of(tensor: str, values: dict[str, float]) -> list[float]:
    """A row of LIGHT or SCENE; numbers that `values` leaves out have their default."""
    row = [0.0] * WIDTHS[tensor]
    for number in SENT:
        if number.tensor == tensor:
            row[number.position] = values.get(number.name, number.default)
    return row


def check_rows(tensor: str, rows: Iterable[Sequence[float]]) -> None:
    """Raise ValueError, a sentence, where a row of LIGHT or SCENE has a number that its light cannot have."""
    named = {number.position: number for number in SENT if number.tensor == tensor}
    for index, row in enumerate(rows):
        for place, value in enumerate(row):
            if place not in named and value != 0:
                raise ValueError(f"{tensor}[{index},{place}] must be 0, not {value:g}: it has no meaning")
            if place in named:
                try:
                    named[place].check(value)
                except ValueError as error:
                    raise ValueError(f"{tensor}[{index},{place}] ({named[place].name}) {error}") from None
        if tensor == LIGHT and not 0.99 < math.hypot(*row[:3]) < 1.01:
            raise ValueError(f"{tensor}[{index},0:3] (direction) must have length 1, not {math.hypot(*row[:3]):g}")
