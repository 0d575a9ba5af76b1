"""The PNG writer of the model `encode` against Pillow's and OpenCV's: speed on one core, size, and no loss."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.report import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "model_repository" / "encode" / "1"))

from png import write_png

Pixels = npt.NDArray[np.uint8]
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
    """Encode every picture with every encoder in turn; ratios are medians of `rounds`.

    Args:
        pictures: uint8 [H,W,3] or [H,W].
        rounds: at least 1.

    Raises:
        ValueError: a file of ours does not hold its picture's very pixels.
    """
    figures, faster, smaller = [], [], []
    for (photo, shown), pixels in pictures.items():
        times, sizes = encode_in_turn(pixels, rounds)
        speed = {name: median_ratio(times[name], times["ours"]) for name in ENCODERS}
        size = {name: sizes["ours"] / sizes[name] for name in ENCODERS}
        faster.append(speed)
        smaller.append(size)
        label = f"PNG of {photo} {shown}"
        figures += [
            Figure(f"{label}, files a second ÷ Pillow's", speed["Pillow"], "ratio", FASTER),
            Figure(f"{label}, bytes ÷ Pillow's", size["Pillow"], "ratio", SMALLER),
        ]
    for peer, bounds in (("Pillow", (FASTER, SMALLER)), ("OpenCV", ("-", "-"))):
        figures += [
            Figure(f"PNG, files a second ÷ {peer}'s, median", middle(faster, peer), "ratio", bounds[0]),
            Figure(f"PNG, bytes ÷ {peer}'s, median", middle(smaller, peer), "ratio", bounds[1]),
        ]
    return figures


def encode_in_turn(pixels: Pixels, rounds: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """CPU-seconds of each round and the file's size, by encoder; what must be selected or cached is so before."""
    times: dict[str, list[float]] = {name: [] for name in ENCODERS}
    sizes = {}
    cv2.setNumThreads(1)
    if not np.array_equal(np.asarray(Image.open(BytesIO(write_png(pixels)))), pixels):
        raise ValueError("A PNG of ours is not lossless: its pixels are others than those it was written from.")
    for _ in range(rounds):
        for name, encode in ENCODERS.items():
            started = time.thread_time()
            sizes[name] = len(encode(pixels))
            times[name].append(time.thread_time() - started)
    return times, sizes


def median_ratio(numerators: list[float], denominators: list[float]) -> float:
    """The median of the rounds' own ratios: what slows a whole round down slows both."""
    return statistics.median(one / other for one, other in zip(numerators, denominators, strict=True))


def middle(ratios: list[dict[str, float]], name: str) -> float:
    """The median over the pictures."""
    return statistics.median(ratio[name] for ratio in ratios)


def read_pictures(folder: Path, photos: int, shown: tuple[str, ...]) -> dict[Picture, npt.NDArray[Any]]:
    """The pictures that a run wrote into `folder` of its first `photos` photos."""
    return {
        (f"{number:05d}", name): np.asarray(Image.open(folder / f"{number:05d}_{name}.png"))
        for number in range(photos)
        for name in shown
    }
