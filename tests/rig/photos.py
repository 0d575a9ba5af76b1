"""Small photos of many sizes and formats for the tests, cut from the samples."""

import io
from pathlib import Path

from PIL import Image

from tests.rig.places import SAMPLES

SIZES = ((160, 200), (240, 180), (200, 200), (131, 257))
FORMATS = (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("bmp", "BMP"), ("tiff", "TIFF"), ("gif", "GIF"))


def portrait(width: int, height: int, name: str = "astronaut.png") -> Image.Image:
    """A sample, squashed to a size."""
    with Image.open(SAMPLES / name) as image:
        return image.convert("RGB").resize((width, height))


def png(image: Image.Image) -> bytes:
    """An image as a file's bytes."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_mixed(folder: Path, count: int) -> list[Path]:
    """Write `count` photos, sizes and formats alternating from one to the next."""
    with Image.open(SAMPLES / "astronaut.png") as image:
        astronaut = image.convert("RGB")
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        hopper = image.convert("RGB")
    files = []
    for index in range(count):
        suffix, kind = FORMATS[index % len(FORMATS)]
        portrait = (astronaut, hopper)[index % 2].resize(SIZES[index % len(SIZES)])
        file = folder / f"{index:04d}.{suffix}"
        portrait.save(file, kind)
        files.append(file)
    return files


def write_csv(file: Path, paths: list[Path]) -> Path:
    """Write a CSV with the column image_path, relative to its own folder."""
    lines = ["image_path", *(path.relative_to(file.parent).as_posix() for path in paths)]
    file.write_text("\n".join(lines) + "\n")
    return file
