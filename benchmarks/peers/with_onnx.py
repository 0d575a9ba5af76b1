"""The exported networks in this process, a thread per core, decode's and encode's own code: any server's ceiling here.

Nothing is sent, copied between processes or waited for; what a server adds is what it costs.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import CORES
from benchmarks.peers.contestants import Contestant, Job
from benchmarks.rig.codecs import encode_pictures, read_photo
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import Networks
from benchmarks.rig.triton import FILES


def relight(networks: Networks, job: Job, row: Row) -> None:
    """One photo from file to files, on one thread."""
    (pictures,) = networks.relight([read_photo(job.path(row).read_bytes())], [row.light])
    job.write(row, encode_pictures(pictures, FILES))


def run(networks: Networks, job: Job, address: str) -> None:
    """As many photos at a time as there are cores."""
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(partial(relight, networks, job), job.rows))


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """The networks, shared by the threads."""
    yield {"onnx": Contestant(partial(run, Networks(threads=1)))}
