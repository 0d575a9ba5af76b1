"""The photos that are sent: mosaics of the sample photos at their own resolution, as costly to code as large photos."""

import csv
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
_TILE = 512  # pixels, as large as the smaller sample
_DIFFERENT = 8


def write_table(folder: Path, photos: int, side: int) -> Path:
    """A CSV of so many rows that name a few JPEGs of side² pixels in turn; all are written into `folder`."""
    with Image.open(SAMPLES / "astronaut.png") as astronaut, Image.open(SAMPLES / "grace_hopper.jpg") as hopper:
        tiles = [image.convert("RGB").crop((0, 0, _TILE, _TILE)) for image in (astronaut, hopper)]
    names = []
    for number in range(min(photos, _DIFFERENT)):
        mosaic = Image.new("RGB", (side, side))
        for top in range(0, side, _TILE):
            for left in range(0, side, _TILE):
                mosaic.paste(tiles[(top + left) // _TILE % 2], (left, top))
        names.append(f"{number}.jpg")
        turned = mosaic.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else mosaic
        turned.save(folder / names[-1], quality=90 - number)
    table = folder / "photos.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image_path"])
        writer.writerows([name] for name in islice(cycle(names), photos))
    return table
