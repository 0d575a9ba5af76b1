"""What a request asks to be written: FILES, `names;format;rules`, and what the pixels of each file mean.

`output,albedo,mask`, `output;jpeg:92`, `output;webp:lossless`, `output,normal;png:16`, `output,shading;exr`, and
`output,input;png;size=1024,crop=person`: the rules are those of contract/photos.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from contract.names import PICTURES
from contract.photos import ANY_PHOTO, PhotoRules, parse_rules

FORMATS = "png, png:16, jpeg, jpeg:1-100, webp, webp:1-100, webp:lossless, exr"
EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp", "exr": "exr"}
_JPEG_QUALITY, _WEBP_QUALITY = 95, 90
_SHOWN = 60  # characters of what was asked for, in a message

COLOURS = (
    "output",
    "degraded",
    "albedo",
    "foreground",
    "background",
    "input",
)  # pictures to look at; the rest are data
# PLANES, the tables that `recombine` looks finished pixels up in, by the bits of a value: 8-bit sRGB, or the high and
# the low byte of linear values, of which WHITE is 1 and 65,535 nearly 4.
PLANES = {8: (0,), 16: (1, 2)}
WHITE = 16_384
HEADROOM = 4.0  # the largest linear value that a 16-bit file of data or an EXR file can hold; PNG colours end at 1
# The heights of `depth` in its PNG: from −DEEPEST to DEEPEST standard deviations within the person.
DEEPEST = 4.0


class FilesError(ValueError):
    """The request's files cannot be made. The message is one sentence for its sender."""


@dataclass(frozen=True)
class Files:
    """The pictures to write, their format, and the photos they are made of."""

    names: tuple[str, ...]  # in the order of PICTURES
    format: str = "png"  # of EXTENSIONS
    depth: int = 8  # bits of a PNG's value, 8 or 16
    quality: int | None = None  # 1-100, of jpeg and webp; None is lossless
    photo: PhotoRules = ANY_PHOTO

    @property
    def planes(self) -> tuple[int, ...]:
        """The tables of PLANES for pictures to look at."""
        return PLANES[16 if self.format == "exr" else self.depth]

    def format_of(self, name: str) -> str:
        """The format of one file: data is never lossy, the mask always a PNG, the environment always an EXR."""
        if name == "environment":
            return "exr"
        if name == "mask" or (name not in COLOURS and self.format != "exr"):
            return "png"
        return self.format

    def extension(self, name: str) -> str:
        """The extension of one file's name."""
        return EXTENSIONS[self.format_of(name)]

    def values(self, name: str) -> str:
        """What the values of one file are, for the metadata."""
        kind = self.format_of(name)
        if name in COLOURS:
            if kind == "exr":
                return "linear Rec. 709, half float, 1 is white"
            return "linear Rec. 709, 16 bit, 65535 is white" if self.depth == 16 else "sRGB, 8 bit"
        bits = 16 if self.depth == 16 or name in ("depth", "shading") else 8
        return _DATA[kind][name].format(bits=bits, most=2**bits - 1)


_NORMAL = "unit normal in camera space, +x right, +y up, +z toward the camera"
_DATA: Mapping[str, Mapping[str, str]] = {
    "png": {
        "mask": "255 is the person, 8 bit",
        "alpha": "probability of the person, {bits} bit, {most} is 1",
        "normal": f"{_NORMAL}, {{bits}} bit, (n + 1) / 2 × {{most}}",
        "depth": f"relative height, near is high, {{bits}} bit, 0 is {-DEEPEST:g} and {{most}} is {DEEPEST:g} standard "
        "deviations of the person",
        "shading": f"diffuse light, linear Rec. 709, {{bits}} bit, {WHITE} is 1",
    },
    "exr": {
        "alpha": "probability of the person, float",
        "normal": f"{_NORMAL}, float",
        "depth": "relative height, near is high, in standard deviations of the person, float",
        "shading": "light, linear Rec. 709, half float; R, G, B diffuse, specular.R, .G, .B specular",
        "environment": "radiance, linear Rec. 709, float, equirectangular; the middle is what the camera looks at",
    },
}


@lru_cache(maxsize=256)
def parse_files(text: str) -> Files:
    """Read FILES. Without a format it is png; without a quality jpeg is 95 and webp 90; without rules all are taken.

    Raises FilesError, naming the choices, for anything else.
    """
    listed, _, rest = text.partition(";")
    wanted, _, rules = (part.strip() for part in rest.partition(";"))
    names = [name.strip() for name in listed.split(",")]
    for name in names:
        if name not in PICTURES:
            raise FilesError(
                f"FILES asks for {name[:_SHOWN]!r}: choose from {', '.join(PICTURES)}, separated by commas."
            )
    ordered = tuple(name for name in PICTURES if name in names)
    try:
        photo = parse_rules(rules)
    except ValueError as error:
        raise FilesError(f"FILES asks for {error}") from error
    kind, colon, number = (wanted or "png").partition(":")
    if kind == "webp" and number == "lossless":
        return Files(ordered, "webp", photo=photo)
    if (kind == "exr" and not colon) or (kind == "png" and number in ("", "8", "16")):
        return Files(ordered, kind, int(number or 8), photo=photo)
    if kind in ("jpeg", "webp"):
        default = _JPEG_QUALITY if kind == "jpeg" else _WEBP_QUALITY
        level = default if not colon else int(number) if number.isdecimal() and len(number) < 4 else 0
        if 1 <= level <= 100:
            return Files(ordered, kind, quality=level, photo=photo)
    raise FilesError(f"FILES asks for the format {wanted[:_SHOWN]!r}: choose from {FORMATS}.")
