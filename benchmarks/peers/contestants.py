"""Who takes part, what every contestant is given (photos with their lights in, files out), and how it is run."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import CORES, ROOT
from benchmarks.rig.lights import Row

IN_FLIGHT = 24  # requests that the other clients of a server keep: enough for any of them
BATCH = min(8, max(2, CORES))  # a row for each core, as on our server: it suits the others too
WAIT = 0.15  # seconds for a batch to fill


@dataclass(frozen=True)
class Job:
    """Relight `rows`, whose files lie in `photos`, and write <name>_<picture>.png of each into `output`."""

    photos: Path
    output: Path
    rows: tuple[Row, ...]

    def path(self, row: Row) -> Path:
        """A row's photo."""
        return self.photos / row.photo

    def picture(self, row: Row, name: str) -> Path:
        """A row's file of the picture `name`."""
        return self.output / f"{row.name}_{name}.png"

    def write(self, row: Row, files: Mapping[str, bytes]) -> None:
        """Write a row's files, by the names of their pictures."""
        for name, content in files.items():
            self.picture(row, name).write_bytes(content)

    def batches(self, size: int) -> list[Sequence[Row]]:
        """The rows, `size` at a time."""
        return [self.rows[first : first + size] for first in range(0, len(self.rows), size)]


@dataclass(frozen=True)
class Contestant:
    """One way of relighting a job's photos."""

    run: Callable[[Job, str], None]  # takes the address to send the photos to, which is empty where there is none
    address: str | None = None  # host:port of its server, None where everything happens in the process


# Starts contestants that share their networks or their server, and stops them. May write into the folder given, which
# goes with the session; the folder around it lasts for all rounds.
Family = Callable[[Path], AbstractContextManager[Mapping[str, Contestant]]]

OURS = "ours"
WARM = 16  # a full batch in every worker, and the same photos for all whose bytes are counted

# Ray Data needs an environment of its own: its pandas wants NumPy 2, Triton's Python processes NumPy 1.
RAY = ROOT / "build" / "ray"
RAY_PYTHON = RAY / "bin" / "python"
RAY_READY = RAY / "ready"  # written last: an interrupted installation is done again
# OpenCV's and ONNX Runtime's versions are those of pyproject.toml, or the pictures might differ.
RAY_PACKAGES = ["ray[data]==2.60.0", "onnxruntime==1.32.0", "opencv-python-headless==4.11.0.86", "numpy>=2"]
RAY_PACKAGES += ["tomli>=2; python_version < '3.11'"]
RAY_MISSING = "it is not installed: `python -m benchmarks peers install-ray` does that"


@dataclass(frozen=True)
class Peer:
    """A contestant.

    It relights `warm` photos before its time is taken: one for plain loops, WARM for holders of networks in ONNX
    Runtime, which takes memory for a batch size once; over the wire their bytes are counted. It is timed on `most`
    photos, from all over the table: a loop that overlaps nothing costs the same per photo however many there are, and a
    slow one would take most of the time. None for all.
    """

    name: str  # in the table and on the command line
    module: str  # of its family, in this package
    does: str  # what it is, for the table
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


def obstacle(module: str) -> str:
    """Why a family cannot take part, with the remedy; empty where it can."""
    return RAY_MISSING if module == "with_ray" and not RAY_READY.exists() else ""


def install_ray() -> int:
    """Make the environment, about 1 GB; return pip's exit code."""
    code = 0
    if not RAY_READY.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(RAY)], check=True)
        pip = [str(RAY_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *RAY_PACKAGES]
        code = subprocess.run(pip, check=False).returncode
    if code:
        print("Ray Data could not be installed: check the network and pip's index.", file=sys.stderr)
        return code
    RAY_READY.touch()
    print(f"Ray Data is installed in {RAY}.")
    return 0
