"""What one request may ask for: thresholds, patterns that exist, and as many lights as the server's memory holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from numbers import Real

from contract.light import UNIT

# Memory that a photo takes while it is relit, in all models together, as docs/operations.md measures it: what a
# light costs at any size (its shading is 518 x 518), what a pixel costs, and what a pixel costs for each light.
LIGHT_BYTES, PIXEL_BYTES, LIT_PIXEL_BYTES = 25_000_000, 70, 75
_REMEDY = "send at most {} lights in a request"
_READ_REMEDY = re.compile(_REMEDY.format(r"(\d+)"))


def megabytes(lights: int, pixels: int) -> float:
    """Memory that a photo takes on the server while it is relit, MB."""
    return (lights * (LIGHT_BYTES + LIT_PIXEL_BYTES * pixels) + PIXEL_BYTES * pixels) / 1e6


def most_lights(pixels: int, limit: float) -> int:
    """How many lights a photo may have at once within `limit` MB; at least one."""
    return max(1, int((limit * 1e6 - PIXEL_BYTES * pixels) // (LIGHT_BYTES + LIT_PIXEL_BYTES * pixels)))


def most_megapixels(limit: float) -> float:
    """The largest photo that one light can be put on within `limit` MB, megapixels."""
    return max(0.0, limit - LIGHT_BYTES / 1e6) / (PIXEL_BYTES + LIT_PIXEL_BYTES)


def check_memory(lights: int, width: int, height: int, limit: float) -> None:
    """Raise ValueError, a sentence, where a photo of this size takes more than `limit` MB with so many lights."""
    most = most_lights(width * height, limit)
    if lights > most:
        raise ValueError(
            f"{lights} lights on a photo of {width} x {height} need {megabytes(lights, width * height):,.0f} MB of the "
            f"server's memory, and the limit is {limit:,.0f} MB (parameter max_memory_megabytes of model decode): "
            f"{_REMEDY.format(most)}"
        )


def allowed_lights(sentence: str) -> int | None:
    """How many lights a request for the same photo may have, if `sentence` is from `check_memory` and says so."""
    found = _READ_REMEDY.search(sentence)
    return int(found[1]) if found else None


def check_thresholds(thresholds: Iterable[float]) -> None:
    """Raise ValueError, a sentence, unless each is a number from 0 to 1."""
    given = list(thresholds)
    if not all(isinstance(one, Real) and UNIT.low <= one <= UNIT.high for one in given):
        raise ValueError(f"THRESHOLDS (score, mask) must be numbers from 0 to 1, not {given}")


def missing_pattern(label: object, names: Sequence[str]) -> str:
    """The sentence for a pattern that is not among the server's `names`, whose ids count from 1."""
    own = ", ".join(f"{index} {name}" for index, name in enumerate(names, start=1))
    return f"the server has no pattern {label}; it has {own or 'none'}"
