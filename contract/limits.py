"""What one request may ask for: thresholds, patterns that exist, and as many pictures as the server's memory holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Real

from contract.light import UNIT

# Memory that a photo takes while it is relit, in all models together, as docs/operations.md measures it: what a picture
# costs at any size (its shading is 518 x 518), each source of its light, a pixel, and a pixel for each picture.
PICTURE_BYTES, SOURCE_BYTES, PIXEL_BYTES, LIT_PIXEL_BYTES = 60_000_000, 3_000_000, 70, 80
_REMEDY = "send at most {} pictures in a request"
_READ_REMEDY = re.compile(_REMEDY.format(r"(\d+)"))


def megabytes(pictures: int, sources: int, pixels: int) -> float:
    """Memory that a photo takes on the server while K pictures of L sources each are made of it, MB."""
    return (pictures * _of_picture(sources, pixels) + PIXEL_BYTES * pixels) / 1e6


def most_pictures(sources: int, pixels: int, limit: float) -> int:
    """How many pictures a photo may have at once within `limit` MB; at least one."""
    return max(1, int((limit * 1e6 - PIXEL_BYTES * pixels) // _of_picture(sources, pixels)))


def most_megapixels(limit: float) -> float:
    """The largest photo of which one picture with one source can be made within `limit` MB, megapixels."""
    return max(0.0, limit - _of_picture(1, 0) / 1e6) / (PIXEL_BYTES + LIT_PIXEL_BYTES)


def check_memory(pictures: int, sources: int, width: int, height: int, limit: float) -> None:
    """Raise ValueError, a sentence, where so many pictures of a photo of this size take more than `limit` MB."""
    most = most_pictures(sources, width * height, limit)
    if pictures > most:
        needed = megabytes(pictures, sources, width * height)
        of_each = f"{sources} source{'s' * (sources > 1)} each"
        raise ValueError(
            f"{pictures} pictures of a photo of {width} x {height} with {of_each} need {needed:,.0f} MB of the "
            f"server's memory, and the limit is {limit:,.0f} MB (parameter max_memory_megabytes of model decode): "
            f"{_REMEDY.format(most)}"
        )


def allowed_pictures(sentence: str) -> int | None:
    """How many pictures a request for the same photo may have, if `sentence` is from `check_memory` and says so."""
    found = _READ_REMEDY.search(sentence)
    return int(found[1]) if found else None


def _of_picture(sources: int, pixels: int) -> int:
    return PICTURE_BYTES + SOURCE_BYTES * sources + LIT_PIXEL_BYTES * pixels


def check_thresholds(thresholds: Iterable[float]) -> None:
    """Raise ValueError, a sentence, unless each is a number from 0 to 1."""
    given = list(thresholds)
    if not all(isinstance(one, Real) and UNIT.low <= one <= UNIT.high for one in given):
        raise ValueError(f"THRESHOLDS (score, mask) must be numbers from 0 to 1, not {given}")


def missing_pattern(label: object, names: Sequence[str]) -> str:
    """The sentence for a pattern that is not among the server's `names`, whose ids count from 1."""
    own = ", ".join(f"{index} {name}" for index, name in enumerate(names, start=1))
    return f"the server has no pattern {label}; it has {own or 'none'}"
