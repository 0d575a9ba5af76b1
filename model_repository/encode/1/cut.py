"""The part of a photo that its files show: all of it, or a square around the person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Cut:
    """A rectangle of a photo of `width` x `height`, in its pixels."""

    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the files."""
        return self.bottom - self.top, self.right - self.left

    @property
    def part(self) -> tuple[slice, slice]:
        """Rows and columns, the index of an array [H, W, ...]."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def of_colours(self, pixels: Array) -> Array:
        """The part of pixels [..., H, W, C], without a copy."""
        return pixels[(..., *self.part, slice(None))]

    def box(self, box: Array) -> list[float]:
        """A box of the photo, xyxy in 0-1, as one of the files."""
        size = np.array([self.width, self.height] * 2, np.float64)
        start, extent = [self.left, self.top] * 2, np.array(self.size[::-1] * 2)
        found: list[float] = np.clip((box * size - start) / extent, 0, 1).tolist()
        return found

    def within(self, frame: Array) -> list[int]:
        """Its edges, xyxy, in pixels of the photo as it was sent, of which the photo shows `frame`, xyxy."""
        left, top, right, bottom = frame.tolist()
        across, down = (right - left) / self.width, (bottom - top) / self.height
        edges = left + self.left * across, top + self.top * down, left + self.right * across, top + self.bottom * down
        return [round(edge) for edge in edges]


def whole(width: int, height: int) -> Cut:
    """All of a photo."""
    return Cut(width, height, 0, 0, width, height)


def around_person(width: int, height: int, box: Array) -> Cut:
    """The square as large as the short side with the person's box, xyxy in 0-1, in its middle, clamped to the photo.

    Of a person who is taller than that the upper part is kept, so that no head is lost.
    """
    side = min(width, height)
    x0, y0, x1, y1 = np.clip(np.nan_to_num(box.astype(np.float64), nan=0.5), 0, 1) * ([width, height] * 2)
    left = (x0 + x1 - side) / 2
    top = min((y0 + y1 - side) / 2, y0)
    left, top = (min(max(round(at), 0), extent - side) for at, extent in ((left, width), (top, height)))
    return Cut(width, height, left, top, left + side, top + side)
