"""The process in which damaged photos are decoded: an outcome a line, so that the line that is missing is the crash.

`python -m tests.fuzz.decode_process FILE LEVEL`: FILE holds photos, each after its length; LEVEL (0-255) is
the brightness of the photos that are decoded before them, and of the memory that is freed.
"""

from __future__ import annotations

import hashlib
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from framing import fit
from photo import PhotoError, open_photo, read_photo
from PIL import Image
from reading import Reading

from contract.photos import PhotoRules
from tests.fuzz.processes import read_inputs

MEGAPIXELS = 2.0  # a limit that keeps bombs cheap
SCALED = PhotoRules(size=16)


def outcome(data: bytes) -> str:
    """`pixels SHAPE DIGEST`, `refused SENTENCE` or `failed` with what must not have been raised."""
    try:
        pixels = read_photo(data, MEGAPIXELS)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            return f"failed with pixels {pixels.dtype} {pixels.shape}"
        scaled = fit(open_photo(data, Reading(MEGAPIXELS, rules=SCALED, least=(16, 16))), SCALED).pixels
        return f"pixels {pixels.shape} {hashlib.sha256(pixels.tobytes() + scaled.tobytes()).hexdigest()}"
    except PhotoError as error:
        return f"refused {str(error)!a}"
    except Exception as error:
        return f"failed with {type(error).__name__}: {str(error)!a}"


def decode_markers(level: int) -> None:
    """Photos of one brightness in every format, so that what they leave in memory can be told."""
    for side in (40, 64, 128, 512, 1024):
        for file_format in ("JPEG", "PNG", "TIFF", "GIF", "WEBP", "BMP"):
            file = BytesIO()
            Image.new("RGB", (side, side), (level,) * 3).save(file, file_format)
            read_photo(file.getvalue())


def main(path: Path, level: int) -> None:
    """Print the outcome of every photo in the file, in order."""
    decode_markers(level)
    for data in read_inputs(path):
        print(outcome(data), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
