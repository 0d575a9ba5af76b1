"""The reader of the model `decode` against the libraries it may choose from: CPU of one core."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.path.encoders import thread_cpu_seconds, write_with_pillow
from benchmarks.rig.codecs import read_photo
from benchmarks.rig.networks import Pixels, read_with_opencv
from benchmarks.rig.report import Figure

Decoder = Callable[[bytes], Pixels]  # to [H,W,3] sRGB
OURS = "ours"


def read_with_pillow(data: bytes) -> Pixels:
    """[H,W,3] sRGB."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


GENERAL: dict[str, Decoder] = {OURS: read_photo, "Pillow": read_with_pillow, "OpenCV": read_with_opencv}
DECODERS: dict[str, dict[str, Decoder]] = {
    "JPEG": {**GENERAL, "simplejpeg": partial(simplejpeg.decode_jpeg, colorspace="RGB")},
    "PNG": GENERAL,
}


def compare_decoders(jpegs: Sequence[bytes], rounds: int) -> list[Figure]:
    """Decode JPEG files, and the same pixels as PNG files, with each library in turn; medians of `rounds`."""
    figures = []
    cv2.setNumThreads(1)
    for kind, decoders in DECODERS.items():
        files = jpegs if kind == "JPEG" else [write_with_pillow(read_with_pillow(file)) for file in jpegs]
        times: dict[str, list[float]] = {name: [] for name in decoders}
        for _ in range(rounds):
            for name, decode in decoders.items():
                times[name].append(statistics.mean(thread_cpu_seconds(partial(decode, file)) for file in files))
        cost = {name: statistics.median(rounds) for name, rounds in times.items()}
        best = min((name for name in decoders if name != OURS), key=lambda name: cost[name])
        ratio = statistics.median(one / other for one, other in zip(times[OURS], times[best], strict=True))
        figures += [Figure(f"{kind} decoded by {name}", cost[name] * 1000, "CPU-ms", "-") for name in decoders]
        figures += [Figure(f"{kind} decoded, ours ÷ the best ({best})", ratio, "ratio", "at most 1.10")]
    return figures
