"""Photos that carry their number, and how it is read from what comes out."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE, BLOCKS = 96, 4  # a photo is 4 × 4 blocks, each one binary digit
DARK, BRIGHT = 40, 220
BROKEN_EVERY = 97  # so many rows have one whose photo cannot be read
HEAD = "image_path,ambient,albedo_blend,specular,pattern,light_color"
LIGHT = "1,1,0,none,#ffffff"  # what comes out is what went in


def write_photos(folder: Path, count: int) -> Path:
    """Write `count` photos, some of them broken, and their table; return the table."""
    rows = []
    for number in range(count):
        file = folder / f"{number:05d}.png"
        if broken(number):
            file.write_bytes(b"\x89PNG\r\n\x1a\n, and no more")
        else:
            digits = number >> np.arange(BLOCKS * BLOCKS) & 1
            levels = np.where(digits, BRIGHT, DARK).astype(np.uint8).reshape(BLOCKS, BLOCKS)
            Image.fromarray(levels.repeat(SIDE // BLOCKS, 0).repeat(SIDE // BLOCKS, 1)).convert("RGB").save(file)
        rows.append(f"{file.name},{LIGHT}\n")
    table = folder / "night.csv"
    table.write_text(f"{HEAD}\n{''.join(rows)}")
    return table


def broken(number: int) -> bool:
    """Whether photo `number` cannot be read."""
    return number % BROKEN_EVERY == BROKEN_EVERY - 1


def read_number(picture: Path) -> int:
    """The number that a picture of a photo carries, −1 where a block is neither bright nor dark."""
    with Image.open(picture) as image:
        levels = np.asarray(image.convert("L"), np.int64)
    margin, block = SIDE // BLOCKS // 3, SIDE // BLOCKS
    middles = levels.reshape(BLOCKS, block, BLOCKS, block)[:, margin:-margin, :, margin:-margin]
    digits = middles.mean((1, 3)).ravel() > (DARK + BRIGHT) / 2
    even = (np.ptp(middles.transpose(0, 2, 1, 3).reshape(BLOCKS * BLOCKS, -1), axis=1) < (BRIGHT - DARK) / 4).all()
    return int((digits << np.arange(BLOCKS * BLOCKS)).sum()) if even else -1
