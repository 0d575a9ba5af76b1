"""OpenEXR files in the tests."""

import io
from typing import Any

import numpy.typing as npt
import OpenEXR


def channels(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The values of a file: `RGB` [H,W,3], as well as `specular` where it has that, or `Y` [H,W]."""
    return {name: channel.pixels for name, channel in OpenEXR.File(io.BytesIO(data)).channels().items()}
