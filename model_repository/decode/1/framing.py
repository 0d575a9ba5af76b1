"""Fits a photo to what a request asks for: a square out of its middle, scaled down to a size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from reading import Photo

from contract.photos import PhotoRules

Pixels = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # the server runs one instance per core; OpenCV's own pool would fight it


@dataclass(frozen=True)
class Framed:
    """A photo as it is relit.

    Attributes:
        pixels: uint8 [H, W, 3], sRGB, upright.
        frame: width and height of the upright photo as it was sent, and the part of it that `pixels` show, in its
            pixels: left, top, right, bottom.
    """

    pixels: Pixels
    frame: tuple[int, int, int, int, int, int]


def fit(photo: Photo, rules: PhotoRules) -> Framed:
    """Scale and cut as the rules ask; the square around the person is cut later, by `encode`.

    Pixels are averaged by area. The size follows from the photo's own, so that it is the same whether or not the
    decoder has scaled it already.
    """
    pixels, left, top = photo.pixels, 0, 0
    height, width = pixels.shape[:2]
    step = photo.width // width  # pixels of the file for one decoded pixel
    if rules.crop == "center":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        pixels, width, height = pixels[top : top + side, left : left + side], side, side
    edges = left * step, top * step, (left + width) * step, (top + height) * step
    size = rules.scaled(width * step, height * step)
    if (width, height) != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Framed(np.ascontiguousarray(pixels), (photo.width, photo.height, *edges))
