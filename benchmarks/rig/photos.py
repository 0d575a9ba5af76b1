"""Photos of a square size for every benchmark: crops of the sample portraits, no two alike, each with its own light."""

from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

from benchmarks import SAMPLES
from benchmarks.rig.lights import Row, drawn

PORTRAITS = ("astronaut.png", "grace_hopper.jpg")
SIDE, QUALITY = 1024, 92
SIZES, PLACES = 100, 23  # of crops; without a common divisor, so that 4,600 photos differ


def write_photos(folder: Path, count: int, side: int = SIDE) -> tuple[Row, ...]:
    """Write `count` JPEG files of side² pixels into `folder`; their rows, with the lights that the client draws."""
    portraits = [Image.open(SAMPLES / name).convert("RGB") for name in PORTRAITS]
    rows = []
    for index in range(count):
        portrait, turn = portraits[index % len(portraits)], index // len(portraits)
        crop = min(portrait.size)
        crop -= crop * (turn % SIZES) // (2 * SIZES)
        left = (portrait.width - crop) * (turn % PLACES) // PLACES
        picture = portrait.crop((left, 0, left + crop, crop))
        mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turn % 2 else picture
        name = f"{index:05d}.jpg"
        mirrored.resize((side, side), Image.Resampling.LANCZOS).save(folder / name, quality=QUALITY)
        rows.append(Row(f"{index:05d}", name, drawn(name)))
    return tuple(rows)


def write_table(file: Path, photos: Iterable[str], rows: int) -> Path:
    """A CSV of so many rows that name the photos in turn."""
    file.write_text("\n".join(("image_path", *islice(cycle(list(photos)), rows))) + "\n", "utf-8")
    return file
