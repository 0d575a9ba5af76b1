"""Who takes part: each contestant's name, its family, and how many photos tell its cost."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import ray_install
from benchmarks.peers.job import IN_FLIGHT

OURS = "ours"
WARM = 16  # a full batch in every worker, and the same photos for all whose bytes are counted


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Attributes:
        name: in the table and on the command line.
        module: of its family, in this package.
        does: what it is, for the table.
        warm: photos that it relights before its time is taken: one for plain loops, WARM for holders of networks in
            ONNX Runtime, which takes memory for a batch size once. Over the wire their bytes are counted.
        most: photos that it is timed on at most, from all over the table. A loop that overlaps nothing costs the
            same per photo however many there are, and a slow one would take most of the time; None for all.
    """

    name: str
    module: str
    does: str
    warm: int
    most: int | None = None


# In a family those that need less memory go first: what a server or a process has taken it keeps.
PEERS = (
    Peer("calls", "ensemble", "our ensemble, tritonclient, one synchronous call at a time", WARM, 32),
    Peer("threads", "ensemble", f"our ensemble, tritonclient, {IN_FLIGHT} threads of such calls", WARM),
    Peer(OURS, "ensemble", "our ensemble, client/run_csv.py", WARM),
    Peer("onnx", "with_onnx", "the ONNX networks and our codecs in one process, a thread per core: the ceiling", WARM),
    Peer("pytriton", "with_pytriton", "PyTriton, the ONNX networks in its function", WARM),
    Peer("litserve", "with_litserve", "LitServe, the ONNX networks in a worker per core", WARM),
    Peer("sequential", "eager", "eager PyTorch, one photo at a time, Pillow", 1, 8),
    Peer("batch-8", "eager", "eager PyTorch, batches of 8, Pillow", 1, 8),
    Peer("loader", "eager", "the same with a DataLoader and a thread pool for the files", 1),
    Peer("batch-16", "eager", "eager PyTorch, batches of 16, Pillow", 1, 16),
    Peer("ray", "with_ray", "Ray Data, the ONNX networks in a task per core", WARM),
)


def interpreter(module: str) -> Path:
    """The Python that runs a family."""
    return ray_install.PYTHON if module == "with_ray" else Path(sys.executable)


def obstacle(module: str) -> str:
    """Why a family cannot take part, with the remedy; empty where it can."""
    return ray_install.OBSTACLE if module == "with_ray" and not ray_install.READY.exists() else ""
