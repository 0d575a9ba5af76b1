"""The stages' own code on one batch of photos, without a server around it: what a photo costs at least.

The same functions, ONNX files, batch size and thread settings as in the embedded server, each stage alone in this
process; handing tensors from stage to stage costs nothing here.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.rig.codecs import encode_pictures, read_photo
from benchmarks.rig.lights import Light, Tensors, light_tensors
from benchmarks.rig.networks import PICTURES, Networks, constants, pictures, squash
from benchmarks.rig.places import CORES
from contract.names import NETWORKS


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


def prepare_stages(photos: Sequence[bytes], lights: Sequence[Light], files: str) -> list[Stage]:
    """All stages from decode to encode, each with what the one before it makes of the batch.

    Args:
        photos: the files of one batch, of one size in pixels.
        lights: of each.
        files: FILES, such as `output,albedo,mask;png`.
    """
    count, networks, pool = len(photos), Networks(threads=1), ThreadPoolExecutor(CORES)
    decoded = decode(photos)
    known: Tensors = {
        **constants(count),
        **light_tensors([[light] for light in lights]),
        **{name: np.concatenate([one[name] for one in decoded]) for name in decoded[0]},
    }
    stages = [Stage("decode", count, partial(decode, photos))]
    for network in NETWORKS:
        run = partial(infer, networks, network, dict(known), pool)
        known.update(run())
        stages.append(Stage(network, count, run))
    encode(known, files)  # as the networks above, it is slower the first time
    return [*stages, Stage("encode", count, partial(encode, known, files))]


def measure(stage: Stage) -> Cost:
    """One batch through one stage."""
    wall, cpu = time.perf_counter(), time.process_time()
    stage.run()
    return Cost((time.process_time() - cpu) / stage.photos, (time.perf_counter() - wall) / stage.photos)


def decode(photos: Sequence[bytes]) -> list[Tensors]:
    """What decode makes of each photo, less the tokens."""
    return [squash([read_photo(photo)]) for photo in photos]


def infer(networks: Networks, network: str, known: Tensors, pool: ThreadPoolExecutor) -> Tensors:
    """A network's answer to a batch, row by row on the pool, as our backend does it on a CPU."""

    def run(row: int) -> Tensors:
        return networks.run(network, {name: one[row : row + 1] for name, one in known.items()})

    rows = list(pool.map(run, range(len(known["ORIGINAL"]))))
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def encode(known: Tensors, files: str) -> list[bytes]:
    """The files of all photos."""
    made: list[bytes] = []
    for row in zip(*pictures(known), strict=True):
        made += encode_pictures(dict(zip(PICTURES, row, strict=True)), files).values()
    return made
