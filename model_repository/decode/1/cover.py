"""Scales a picture until it covers a photo, and cuts what stands over on both sides: as CSS's `object-fit: cover`."""

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # the server runs one instance per core; OpenCV's own pool would fight it


def cover(picture: Pixels, width: int, height: int) -> Pixels:
    """The middle of a picture, uint8 [h, w, 3], as uint8 [height, width, 3] in its own proportions."""
    high, wide = picture.shape[:2]
    scale = max(width / wide, height / high)
    part = [min(whole, max(1, round(size / scale))) for size, whole in ((height, high), (width, wide))]
    top, left = (high - part[0]) // 2, (wide - part[1]) // 2
    middle = picture[top : top + part[0], left : left + part[1]]
    if middle.shape[:2] == (height, width):
        return np.ascontiguousarray(middle)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(middle, (width, height), interpolation=method), np.uint8)
