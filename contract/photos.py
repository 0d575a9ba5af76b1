"""Which photos a request takes, and how they are scaled and cut: the third part of FILES, `size=1024,crop=person`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from contract.light import Interval

CROPS = ("none", "center", "person")
RANGES = {
    "size": Interval(16, 16_384, whole=True),
    "min_side": Interval(1, 65_535, whole=True),
    "max_aspect": Interval(1, 1000),
    "max_megapixels": Interval(0.001, 10_000),
}
CHOICES = f"size=N, crop={'|'.join(CROPS)}, min_side=N, max_aspect=R and max_megapixels=M"
_SHOWN = 60  # characters of what was asked for, in a message


@dataclass(frozen=True)
class PhotoRules:
    """What is asked of a photo; without any, it is taken as it is.

    Attributes:
        size: pixels that the short side of a larger photo is scaled down to.
        crop: of CROPS: none, or a square as large as the short side from the middle or around the person.
        min_side: pixels that the short side must have before it is scaled.
        max_aspect: how many times as long as its short side the long side may be.
        max_megapixels: how large the photo may be before it is scaled.
    """

    size: int | None = None
    crop: str = CROPS[0]
    min_side: int | None = None
    max_aspect: float | None = None
    max_megapixels: float | None = None

    def __str__(self) -> str:
        """The text that `parse_rules` reads; empty where nothing is asked."""
        asked = {name: value for name, value in asdict(self).items() if value not in (None, CROPS[0])}
        return ",".join(
            f"{name}={value if isinstance(value, str) else format(value, '.10g')}" for name, value in asked.items()
        )

    def check(self, width: int, height: int) -> None:
        """Raise ValueError, a sentence, where a photo of this size must not be taken."""
        short, long = sorted((width, height))
        told = f"The photo is {width} x {height}"
        if self.min_side and short < self.min_side:
            raise ValueError(f"{told}: its short side is below min_side={self.min_side}.")
        if self.max_aspect and long > self.max_aspect * short:
            raise ValueError(
                f"{told}: its long side is {long / short:.4g} times its short one, above "
                f"max_aspect={self.max_aspect:g}."
            )
        megapixels = width * height / 1e6
        if self.max_megapixels and megapixels > self.max_megapixels:
            raise ValueError(f"{told}: {megapixels:.4g} megapixels, above max_megapixels={self.max_megapixels:g}.")

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what a picture of this size is scaled down to; it is never enlarged."""
        short = min(width, height)
        if self.size is None or short <= self.size:
            return width, height
        return round(width * self.size / short), round(height * self.size / short)


ANY_PHOTO = PhotoRules()


def parse_rules(text: str) -> PhotoRules:
    """Read `size=1024,crop=person`, in any order. Raises ValueError, the end of a sentence that names the choices."""
    values: dict[str, Any] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or name in values or (name not in RANGES and name != "crop"):
            raise ValueError(f"{part[:_SHOWN]!r}: choose from {CHOICES}, each at most once.")
        values[name] = _crop(value) if name == "crop" else _number(name, value)
    return PhotoRules(**values)


def _crop(value: str) -> str:
    if value not in CROPS:
        raise ValueError(f"the crop {value[:_SHOWN]!r}: choose from {', '.join(CROPS)}.")
    return value


def _number(name: str, value: str) -> float:
    interval = RANGES[name]
    try:
        number = interval.check(float(value))
    except ValueError:
        raise ValueError(f"{name}={value[:_SHOWN]}: {name} must be {interval}.") from None
    return int(number) if interval.whole else number
