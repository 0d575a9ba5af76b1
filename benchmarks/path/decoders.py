"""The reader of the model `decode` against the libraries it may choose from: CPU of one core."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.path.encoders import thread_cpu_seconds, write_with_pillow
from benchmarks.rig.codecs import read_photo, read_scaled
from benchmarks.rig.networks import Pixels, read_with_opencv, squash
from benchmarks.rig.report import Figure

Decoder = Callable[[bytes], Pixels]  # to [H,W,3] sRGB
OURS = "ours"
SIZE = 1024
LARGE = {"30 MP": (6000, 5000), "3 MP": (2000, 1500)}  # width and height of photos that are scaled


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


def compare_sizes(photo: Pixels, rounds: int, large: Mapping[str, tuple[int, int]] = LARGE) -> list[Figure]:
    """What decode costs of a large photo, the networks' squares too, as it is and at `--size`: medians of `rounds`."""
    files = {name: grainy_jpeg(photo, *size) for name, size in large.items()}
    actions = {f"{name}, as it is": partial(read_photo, file) for name, file in files.items()}
    actions |= {f"{name}, --size {SIZE}": partial(read_scaled, file, SIZE) for name, file in files.items()}
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(thread_cpu_seconds(partial(squares_of, action)))
    return [
        Figure(f"decode, a JPEG of {name}", statistics.median(found) * 1000, "CPU-ms", "-")
        for name, found in times.items()
    ]


def squares_of(decode: Callable[[], Pixels]) -> None:
    """A photo and the networks' squares, as the model `decode` makes them."""
    squash([decode()])


def grainy_jpeg(photo: Pixels, width: int, height: int) -> bytes:
    """A photo, enlarged, with the grain of a camera, that a JPEG has to store."""
    pixels = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).integers(-5, 6, pixels.shape, np.int16)
    grainy = np.asarray(cv2.add(pixels, grain, dtype=cv2.CV_8U), np.uint8)
    return bytes(simplejpeg.encode_jpeg(grainy, 90, "RGB", "420"))
