"""Encodes values as OpenEXR files: half or float channels, lossless ZIP, equal bytes for equal values."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from contract.files import FilesError

try:
    import OpenEXR
except ImportError:
    OpenEXR = None

_REC_709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)  # x and y of red, green, blue, white


def encode_exr(channels: Mapping[str, npt.NDArray[Any]], *, linear: bool = False) -> bytes:
    """Encode float16 or float32 channels, [H, W] each; `RGB` is [H, W, 3].

    `linear`: they are colours, so that the file says which. Raises FilesError where OpenEXR is not installed.
    """
    if OpenEXR is None:
        raise FilesError("This server writes no exr, its package OpenEXR is not installed: ask for png:16.")
    header: dict[str, object] = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    if linear:
        header["chromaticities"] = _REC_709
    # OpenEXR reads memory without a look at its strides.
    contiguous = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    file = BytesIO()
    with OpenEXR.File(header, contiguous, num_threads=0) as written:  # the server runs one instance per core
        written.write(file)
    return file.getvalue()
