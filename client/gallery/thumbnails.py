"""Makes the thumbnails of a gallery: small WebP files beside the page, only those that are missing or out of date."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TextIO

from PIL import Image

from client.gallery.runs import Picture
from client.output.files import write_whole

FOLDER = "__gallery__"  # beside the page; loaders of image folders leave out names that begin with two underscores
SIDE = 256  # pixels, the longer side of a thumbnail at most
SHOWN, UNREADABLE, MISSING = 1, 2, 3  # states of a picture: it has a thumbnail; its file has none, as an EXR; no file
_QUALITY = 78
_SECONDS = 2.0  # between two lines of progress


@dataclass(frozen=True)
class Made:
    """What `make_thumbnails` did."""

    states: list[int]  # for each picture SHOWN, UNREADABLE or MISSING
    written: int

    @property
    def lost(self) -> int:
        """How many pictures have no thumbnail."""
        return sum(state != SHOWN for state in self.states)


def thumbnail_of(file: str) -> str:
    """The path of a picture's thumbnail; both from the gallery's folder."""
    return f"{FOLDER}/thumbnails/{file}.webp"


def make_thumbnails(folder: Path, pictures: Sequence[Picture], told: TextIO | None = None) -> Made:
    """Make what thumbnails are missing below `folder`; say on `told` how it goes. Raises OSError if the disk is full.

    A picture that is damaged, not there, or of a format without a preview has its state and no thumbnail.
    """
    for place in {(folder / thumbnail_of(picture.file)).parent for picture in pictures}:
        place.mkdir(parents=True, exist_ok=True)
    states: list[int] = []
    written, last = 0, time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes, scales and encodes without the GIL
        try:
            for state, is_new in threads.map(lambda picture: _make(folder, picture), pictures):
                states.append(state)
                written += is_new
                if told and time.monotonic() - last > _SECONDS:
                    last = time.monotonic()
                    print(f"{len(states)}/{len(pictures)} thumbnails", file=told, flush=True)
        except BaseException:  # Ctrl-C, or a full disk: what has not begun is left out
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return Made(states, written)


def _make(folder: Path, picture: Picture) -> tuple[int, bool]:
    """The picture's state, and whether its thumbnail was written now."""
    source, target = folder / picture.file, folder / thumbnail_of(picture.file)
    try:
        changed = source.stat().st_mtime_ns
    except OSError:
        return MISSING, False
    if target.exists() and target.stat().st_mtime_ns >= changed:
        return SHOWN, False
    content = encode_small(source, SIDE, _QUALITY)
    if content is None:
        return UNREADABLE, False
    write_whole(target, content)
    return SHOWN, True


def encode_small(source: Path | BinaryIO, side: int, quality: int) -> bytes | None:
    """The picture as sRGB WebP whose longer side is at most `side` pixels; None where Pillow cannot read it."""
    try:
        with Image.open(source) as image:
            image.draft("RGB", (2 * side, 2 * side))  # a JPEG decodes at the size that is needed
            image.load()
            is_linear = image.info.get("gamma") == 1.0  # a PNG says so
            deep = image.mode.startswith("I")  # gray of 16 bits
            small = (image.point(lambda level: level / 256) if deep else image).convert("RGB")
            small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's words for damaged
        return None
    if is_linear:
        small = small.point([_srgb(level / 255) for level in range(256)] * 3)
    stream = BytesIO()
    small.save(stream, "WEBP", quality=quality, method=2)
    return stream.getvalue()


def _srgb(linear: float) -> int:
    """The sRGB level of linear light (IEC 61966-2-1), 0–255."""
    return round(255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055))
