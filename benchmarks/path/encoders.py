"""The PNG writer of the model `encode` against Pillow's and OpenCV's: speed on one core, size, and no loss."""

import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.rig.codecs import encode_png
from benchmarks.rig.networks import Pixels, write_with_opencv
from benchmarks.rig.report import Figure

AnyDepth = Pixels | npt.NDArray[np.uint16]
Encoder = Callable[[AnyDepth], bytes]
Picture = tuple[str, str]  # photo, and what is shown of it: ("00000", "albedo")

FASTER, SMALLER = "at least 30", "at most 1.15"
AT_LEAST = 0.05  # CPU-seconds; one call alone would be timed with cold caches and a coarse clock


def thread_cpu_seconds(action: Callable[[], object]) -> float:
    """CPU time of one call, the mean of as many as take AT_LEAST; only the calling thread's time counts."""
    calls, started = 0, time.thread_time()
    while (spent := time.thread_time() - started) < AT_LEAST or not calls:
        action()
        calls += 1
    return spent / calls


def write_with_pillow(pixels: AnyDepth) -> bytes:
    """As `Image.save` does where nothing is asked for: zlib's level 6, a filter chosen for each row."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


ENCODERS: dict[str, Encoder] = {"ours": encode_png, "Pillow": write_with_pillow, "OpenCV": write_with_opencv}


def compare_encoders(pictures: Mapping[Picture, AnyDepth], rounds: int) -> list[Figure]:
    """Encode every picture with every encoder in turn: medians of the rounds' own ratios.

    `pictures` are uint8 [H,W,3], or uint8 or uint16 [H,W].
    Raises ValueError: a file of ours does not hold its picture's very pixels.
    """
    cv2.setNumThreads(1)
    for pixels in pictures.values():
        if not np.array_equal(np.asarray(Image.open(BytesIO(encode_png(pixels)))), pixels):
            raise ValueError("A PNG of ours is not lossless: it holds other pixels than it was written from.")
    calls = {(one, name): partial(ENCODERS[name], pictures[one]) for one in pictures for name in ENCODERS}
    sizes = {pair: len(call()) for pair, call in calls.items()}
    times = [{pair: thread_cpu_seconds(call) for pair, call in calls.items()} for _ in range(rounds)]

    def faster(peer: str, *some: Picture) -> float:
        return statistics.median(
            sum(one[each, peer] for each in some) / sum(one[each, "ours"] for each in some) for one in times
        )

    figures = []
    for photo, shown in pictures:
        label, picture = f"PNG of {photo} {shown}", (photo, shown)
        size = sizes[picture, "ours"] / sizes[picture, "Pillow"]
        figures += [
            Figure(f"{label}, files a second ÷ Pillow's", faster("Pillow", picture), "ratio", FASTER),
            Figure(f"{label}, bytes ÷ Pillow's", size, "ratio", SMALLER),
        ]
    for photo in dict.fromkeys(photo for photo, _ in pictures):
        together = faster("Pillow", *(picture for picture in pictures if picture[0] == photo))
        figures += [Figure(f"PNG of {photo} together, files a second ÷ Pillow's", together, "ratio", FASTER)]
    for peer, bounds in (("Pillow", (FASTER, SMALLER)), ("OpenCV", ("-", "-"))):
        speed = statistics.median(faster(peer, picture) for picture in pictures)
        size = statistics.median(sizes[picture, "ours"] / sizes[picture, peer] for picture in pictures)
        figures += [
            Figure(f"PNG, files a second ÷ {peer}'s, median of the pictures", speed, "ratio", bounds[0]),
            Figure(f"PNG, bytes ÷ {peer}'s, median of the pictures", size, "ratio", bounds[1]),
        ]
    return figures


def read_pictures(folder: Path, photos: int, shown: tuple[str, ...]) -> dict[Picture, npt.NDArray[Any]]:
    """The pictures that a run wrote into `folder` of its first `photos` photos."""
    return {
        (f"{number:05d}", name): np.asarray(Image.open(folder / f"{number:05d}_{name}.png"))
        for number in range(photos)
        for name in shown
    }


def in_16_bits(pictures: Mapping[Picture, Pixels]) -> dict[Picture, npt.NDArray[np.uint16]]:
    """The luminance of those in colour, uint16 [H,W]: Pillow writes no 16-bit colour to compare with."""
    weights = np.array([77, 150, 29], np.uint16)  # BT.601's, of 256
    return {
        (photo, f"{shown} in 16-bit gray"): pixels @ weights
        for (photo, shown), pixels in pictures.items()
        if pixels.ndim == 3
    }
