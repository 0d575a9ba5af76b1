"""The reader of the model `decode` against the libraries it may choose from: CPU of one core."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.path.repeat import thread_cpu_seconds
from benchmarks.rig.codecs import read_photo
from benchmarks.rig.networks import Pixels
from benchmarks.rig.report import Figure

Decoder = Callable[[bytes], Pixels]
OURS = "ours"


def read_with_pillow(data: bytes) -> Pixels:
    """[H,W,3] sRGB."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def read_with_opencv(data: bytes) -> Pixels:
    """[H,W,3] sRGB."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(pixels, np.uint8)


def read_with_simplejpeg(data: bytes) -> Pixels:
    """[H,W,3] sRGB."""
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), np.uint8)


GENERAL: dict[str, Decoder] = {OURS: read_photo, "Pillow": read_with_pillow, "OpenCV": read_with_opencv}
DECODERS: dict[str, dict[str, Decoder]] = {"JPEG": {**GENERAL, "simplejpeg": read_with_simplejpeg}, "PNG": GENERAL}


def compare_decoders(jpegs: Sequence[bytes], rounds: int) -> list[Figure]:
    """Decode JPEG files, and the same pixels as PNG files, with each library in turn; medians of `rounds`."""
    figures = []
    for kind, decoders in DECODERS.items():
        files = jpegs if kind == "JPEG" else [as_png(file) for file in jpegs]
        times = decode_in_turn(files, decoders, rounds)
        cost = {name: statistics.median(rounds) for name, rounds in times.items()}
        best = min((name for name in decoders if name != OURS), key=lambda name: cost[name])
        ratio = statistics.median(one / other for one, other in zip(times[OURS], times[best], strict=True))
        figures += [Figure(f"{kind} decoded by {name}", cost[name] * 1000, "CPU-ms", "-") for name in decoders]
        figures += [Figure(f"{kind} decoded, ours ÷ the best ({best})", ratio, "ratio", "at most 1.10")]
    return figures


def decode_in_turn(files: Sequence[bytes], decoders: dict[str, Decoder], rounds: int) -> dict[str, list[float]]:
    """CPU-seconds per file of each round, by decoder."""
    times: dict[str, list[float]] = {name: [] for name in decoders}
    cv2.setNumThreads(1)
    for _ in range(rounds):
        for name, decode in decoders.items():
            times[name].append(statistics.mean(thread_cpu_seconds(partial(decode, file)) for file in files))
    return times


def as_png(jpeg: bytes) -> bytes:
    """The photo's pixels in the PNG that Pillow writes."""
    file = BytesIO()
    Image.open(BytesIO(jpeg)).save(file, "PNG")
    return file.getvalue()
