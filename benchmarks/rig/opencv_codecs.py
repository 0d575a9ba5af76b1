"""OpenCV's photo reader and PNG writer, the fastest of the libraries that everyone knows."""

import cv2
import numpy as np

from benchmarks.rig.networks import Pixels


def read_photo(data: bytes) -> Pixels:
    """Decode a photo, uint8 [H,W,3], sRGB. Raises cv2.error: OpenCV cannot read it."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def write_png(pixels: Pixels) -> bytes:
    """Encode uint8 [H,W,3] or [H,W] as `cv2.imwrite` does where nothing is asked for."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", turned)[1].tobytes()
