"""The PNG writer of the model `encode` against Pillow's and OpenCV's: speed on one core, size, and no loss."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.path.repeat import thread_cpu_seconds
from benchmarks.rig.codecs import write_png
from benchmarks.rig.networks import Pixels
from benchmarks.rig.report import Figure

Picture = tuple[str, str]  # photo, and what is shown of it: ("00000", "albedo")

FASTER, SMALLER = "at least 40", "at most 1.2"


def write_with_pillow(pixels: Pixels) -> bytes:
    """As `Image.save` does where nothing is asked for: zlib's level 6, a filter chosen for each row."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_with_opencv(pixels: Pixels) -> bytes:
    """As `cv2.imwrite` does where nothing is asked for."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", bgr)[1].tobytes()


ENCODERS: dict[str, Callable[[Pixels], bytes]] = {
    "ours": write_png,
    "Pillow": write_with_pillow,
    "OpenCV": write_with_opencv,
}


def compare_encoders(pictures: Mapping[Picture, Pixels], rounds: int) -> list[Figure]:
    """Encode every picture with every encoder in turn; speeds are medians of the rounds' own ratios.

    Args:
        pictures: uint8 [H,W,3] or [H,W].
        rounds: at least 1.

    Raises ValueError: a file of ours does not hold its picture's very pixels.
    """
    cv2.setNumThreads(1)
    for pixels in pictures.values():
        if not np.array_equal(np.asarray(Image.open(BytesIO(write_png(pixels)))), pixels):
            raise ValueError("A PNG of ours is not lossless: it holds other pixels than it was written from.")
    sizes = {
        picture: {name: len(encode(pictures[picture])) for name, encode in ENCODERS.items()} for picture in pictures
    }
    times = [encode_all(pictures) for _ in range(rounds)]

    def faster(peer: str, some: Iterable[Picture]) -> float:
        chosen = list(some)
        return statistics.median(
            sum(one[picture][peer] for picture in chosen) / sum(one[picture]["ours"] for picture in chosen)
            for one in times
        )

    def smaller(peer: str, picture: Picture) -> float:
        return sizes[picture]["ours"] / sizes[picture][peer]

    figures = []
    for photo, shown in pictures:
        label, picture = f"PNG of {photo} {shown}", (photo, shown)
        figures += [
            Figure(f"{label}, files a second ÷ Pillow's", faster("Pillow", [picture]), "ratio", FASTER),
            Figure(f"{label}, bytes ÷ Pillow's", smaller("Pillow", picture), "ratio", SMALLER),
        ]
    for photo in dict.fromkeys(photo for photo, _ in pictures):
        together = faster("Pillow", [picture for picture in pictures if picture[0] == photo])
        figures += [Figure(f"PNG of {photo} together, files a second ÷ Pillow's", together, "ratio", FASTER)]
    for peer, bounds in (("Pillow", (FASTER, SMALLER)), ("OpenCV", ("-", "-"))):
        speed = statistics.median(faster(peer, [picture]) for picture in pictures)
        size = statistics.median(smaller(peer, picture) for picture in pictures)
        figures += [
            Figure(f"PNG, files a second ÷ {peer}'s, median of the pictures", speed, "ratio", bounds[0]),
            Figure(f"PNG, bytes ÷ {peer}'s, median of the pictures", size, "ratio", bounds[1]),
        ]
    return figures


def encode_all(pictures: Mapping[Picture, Pixels]) -> dict[Picture, dict[str, float]]:
    """CPU-seconds of each picture with each encoder."""
    return {
        picture: {name: thread_cpu_seconds(partial(encode, pixels)) for name, encode in ENCODERS.items()}
        for picture, pixels in pictures.items()
    }


def read_pictures(folder: Path, photos: int, shown: tuple[str, ...]) -> dict[Picture, npt.NDArray[Any]]:
    """The pictures that a run wrote into `folder` of its first `photos` photos."""
    return {
        (f"{number:05d}", name): np.asarray(Image.open(folder / f"{number:05d}_{name}.png"))
        for number in range(photos)
        for name in shown
    }
