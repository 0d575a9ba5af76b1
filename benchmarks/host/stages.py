"""The stages' own code on one batch of photos, without a server around it: what a photo costs at least.

The same functions, ONNX files, batch size and thread settings as in the embedded server, each stage alone in this
process; handing tensors from stage to stage costs nothing here.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "model_repository" / "decode" / "1"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "model_repository" / "encode" / "1"))

from files import parse_files
from photo import read_photo
from squares import write_squares

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
NETWORKS = ("segment", "albedo", "shadow", "recombine")
_SQUARES = {"SEGMENT_PIXELS": 1008, "ALBEDO_PIXELS": 768, "SHADOW_PIXELS": 518}  # as decode has them
_TOKENS = 32

Tensors = dict[str, npt.NDArray[Any]]  # by name, [batch,…]


@dataclass(frozen=True)
class Stage:
    """One stage, ready to do its batch again and again."""

    name: str
    photos: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Cost:
    """Seconds per photo."""

    cpu: float  # of all threads
    wall: float


def prepare_stages(photos: Sequence[bytes], lights: npt.NDArray[np.float32], files: str) -> list[Stage]:
    """All stages from decode to encode, each with what the one before it makes of the batch.

    Args:
        photos: the files of one batch, of one size in pixels.
        lights: LIGHT of each, float32 [batch,K,16].
        files: FILES, such as `output,albedo,mask;png`.
    """
    decoded = decode(photos)
    known: Tensors = {
        "THRESHOLDS": np.full((len(photos), 2), 0.5, np.float32),
        "TOKENS": np.zeros((len(photos), _TOKENS), np.int64),
        "TOKEN_MASK": np.zeros((len(photos), _TOKENS), np.int64),
        "LIGHT": lights,
        **{name: np.concatenate([one[name] for one in decoded]) for name in decoded[0]},
    }
    stages = [Stage("decode", len(photos), partial(decode, photos))]
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    for network in NETWORKS:
        session = load(network)
        feed = {tensor.name: known[tensor.name] for tensor in session.get_inputs()}
        run = partial(infer, session, feed, pool)
        known.update(run())
        stages.append(Stage(network, len(photos), run))
    encode(known, files)  # as the networks above, it is slower the first time
    return [*stages, Stage("encode", len(photos), partial(encode, known, files))]


def measure(stage: Stage) -> Cost:
    """One batch through one stage."""
    wall, cpu = time.perf_counter(), time.process_time()
    stage.run()
    return Cost((time.process_time() - cpu) / stage.photos, (time.perf_counter() - wall) / stage.photos)


def decode(photos: Sequence[bytes]) -> list[Tensors]:
    """What decode makes of each photo, less the tokens."""
    made: list[Tensors] = []
    for photo in photos:
        pixels = read_photo(photo)
        squares = {name: np.empty((1, 3, side, side), np.uint8) for name, side in _SQUARES.items()}
        write_squares(pixels, [square[0] for square in squares.values()])
        aspect = np.full((1, 1), pixels.shape[1] / pixels.shape[0], np.float32)
        made.append({"ORIGINAL": pixels[np.newaxis], **squares, "ASPECT": aspect})
    return made


def load(network: str) -> onnxruntime.InferenceSession:
    """A network as the embedded server loads it (server/backends/onnxruntime)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    file = REPOSITORY / network / "1" / "model.onnx"
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def infer(session: onnxruntime.InferenceSession, feed: Tensors, pool: ThreadPoolExecutor) -> Tensors:
    """A network's answer to a batch, row by row on the pool, as our backend does it on a CPU."""
    names = [tensor.name for tensor in session.get_outputs()]

    def run(row: int) -> list[npt.NDArray[Any]]:
        answers: list[npt.NDArray[Any]] = session.run(names, {name: one[row : row + 1] for name, one in feed.items()})
        return answers

    rows = list(pool.map(run, range(len(next(iter(feed.values()))))))
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)}


def encode(pixels: Tensors, files: str) -> list[bytes]:
    """The files of all photos."""
    asked = parse_files(files)
    made = []
    for index in range(len(pixels["MASK"])):
        made += [asked.encode("output", one) for one in pixels["OUTPUT_PIXELS"][index]]
        made += [asked.encode("albedo", pixels["ALBEDO_OUT"][index]), asked.encode("mask", pixels["MASK"][index])]
    return made
