"""What a run puts behind the people: a plain gray, the photo's own background, or a picture of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.errors import TableError
from client.input.folders import find_listing
from client.input.photos import read_image
from contract.light import BACKGROUNDS

PLAIN = BACKGROUNDS[:-1]  # those that need no picture
PICTURE = BACKGROUNDS[-1]


@dataclass(frozen=True)
class Background:
    """The background of one photo."""

    kind: str = PLAIN[0]  # of BACKGROUNDS
    name: str | None = None  # of its picture
    picture: bytes = b""  # an image file


@dataclass(frozen=True)
class Backgrounds:
    """The backgrounds of a run: one kind, or a folder of pictures of which each photo gets one."""

    kind: str = PLAIN[0]  # of BACKGROUNDS
    folder: str = ""
    names: tuple[str, ...] = ()  # of the pictures, relative to the folder

    def settings(self) -> Mapping[str, Any]:
        """All that the pictures depend on, as JSON values."""
        return {"background": self.kind, "backdrops": list(self.names)}

    def choose(self, seed: str) -> Background:
        """The background of the photo with this seed. Raises RowError where its picture cannot be read."""
        if self.kind != PICTURE:
            return Background(self.kind)
        number = int(hashlib.sha256(f"{seed}\0backdrop".encode()).hexdigest()[:16], 16)
        name = self.names[number % len(self.names)]
        return Background(PICTURE, name, read_image(name, self.folder, column="--background"))


def parse_backgrounds(text: str) -> Backgrounds:
    """Parse `gray`, `photo`, `relit`, or the name of a folder of pictures. Raises ValueError with a sentence."""
    if text in PLAIN:
        return Backgrounds(text)
    try:
        listing = find_listing(text) if Path(text).is_dir() else None
    except TableError as error:
        raise ValueError(f"the folder of backgrounds {text} holds no pictures") from error
    if listing is None:
        raise ValueError(f"there is no background {text!r}: choose {', '.join(PLAIN)}, or a folder of pictures")
    return Backgrounds(PICTURE, text, tuple(path for path in listing.paths() if isinstance(path, str)))


def read_background(text: str, folder: str, timeout: float) -> Background:
    """The background that a row asks for: one of PLAIN, or the path of a picture. Raises RowError."""
    if text in PLAIN:
        return Background(text)
    return Background(PICTURE, text, read_image(text, folder, timeout, column="background"))
