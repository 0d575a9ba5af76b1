"""The photos of the comparison: crops of the sample portraits at 1024², no two alike, each with a light of its own."""

from pathlib import Path

from PIL import Image

from benchmarks.peers.job import Row
from client.light.distributions import read_lighting
from client.light.draw import draw_lights

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
PORTRAITS = ("astronaut.png", "grace_hopper.jpg")
SIDE = 1024
QUALITY = 92
SIZES, PLACES = 100, 23  # of crops; without a common divisor, so that 4,600 photos differ
SEED = 0


def write_photos(folder: Path, count: int) -> tuple[Row, ...]:
    """Write `count` JPEG files of SIDE² pixels into `folder`; their rows, with the lights that the client draws."""
    portraits = [Image.open(SAMPLES / name).convert("RGB") for name in PORTRAITS]
    lighting = read_lighting()
    rows = []
    for index in range(count):
        portrait, turn = portraits[index % len(portraits)], index // len(portraits)
        side = min(portrait.size)
        side -= side * (turn % SIZES) // (2 * SIZES)
        left = (portrait.width - side) * (turn % PLACES) // PLACES
        crop = portrait.crop((left, 0, left + side, side))
        mirrored = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if turn % 2 else crop
        name = f"{index:05d}.jpg"
        mirrored.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(folder / name, quality=QUALITY)
        (light,) = draw_lights(lighting, SEED, name, 1)
        rows.append(Row(f"{index:05d}", name, light.values))
    return tuple(rows)
