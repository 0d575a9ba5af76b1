"""OpenCV's photo reader and PNG writer, which the contestants use that are not ours."""

import cv2
import numpy as np

from benchmarks.rig.networks import Pixels


def read_photo(data: bytes) -> Pixels:
    """Decode by OpenCV, the fastest of the libraries that everyone knows; uint8 [H,W,3], sRGB."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("OpenCV cannot read the photo")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def write_png(pixels: Pixels) -> bytes:
    """Encode uint8 [H,W,3] or [H,W] by OpenCV: twelve times as fast as Pillow's default."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".png", turned)[1])
