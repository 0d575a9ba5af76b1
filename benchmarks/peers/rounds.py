"""The comparison: rounds of all contestants, each family restarted in each round, warmed up, checked, timed."""

import itertools
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from benchmarks.peers.contestants import OURS, WARM, Job, Peer, obstacle
from benchmarks.peers.session import Measurement, PeerError, Session, started
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import PICTURES, Pixels
from benchmarks.rig.photos import write_photos

TOLERANCE = 2  # levels of 255: runtimes round differently
# The mask's edge is steep, and rounding shifts it: so many levels, at so large a share of a picture's values.
EDGE, STRAYS = 16, 1e-3

Reference = Mapping[tuple[str, str], Pixels]  # by the name of the row and of the picture


def read_pictures(job: Job) -> Reference:
    """A job's pictures as ours wrote them."""
    found = {(row.name, name): read_picture(job, row, name) for row in job.rows for name in PICTURES}
    return {key: pixels for key, pixels in found.items() if pixels is not None}


def read_picture(job: Job, row: Row, name: str) -> Pixels | None:
    """uint8 [H,W,3] or [H,W]; None where there is no such picture."""
    pixels = cv2.imread(str(job.picture(row, name)), cv2.IMREAD_UNCHANGED)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def difference(job: Job, reference: Reference, *, files_only: bool = False) -> str:
    """The first thing about a finished job that is not as in `reference`, as words; empty where all is."""
    for row in job.rows:
        for name in PICTURES:
            file = job.picture(row, name)
            picture = None if files_only else read_picture(job, row, name)
            if not file.exists() or file.stat().st_size == 0 or (picture is None and not files_only):
                return f"it wrote no {name} of {row.photo}"
            if picture is None:
                continue
            ours = reference[row.name, name]
            if picture.shape != ours.shape:
                return f"its {name} of {row.photo} is {list(picture.shape)}, ours {list(ours.shape)}"
            levels = cv2.absdiff(picture, ours)
            if levels.max() > EDGE or np.count_nonzero(levels > TOLERANCE) > STRAYS * picture.size:
                return f"its {name} of {row.photo} differs from ours by up to {levels.max()} levels"
    return ""


@dataclass
class Result:
    """What was found of a contestant."""

    peer: Peer
    measurements: list[Measurement] = field(default_factory=list)
    on_the_wire: bool = False  # whether photos and files went to a server and back
    wire_bytes: float = 0.0  # per photo, both ways, 0 in a process
    failure: str = ""  # why it is not compared, in words; empty where it is

    def median(self, figure: Callable[[Measurement], float]) -> float:
        """The median of a figure over the rounds."""
        return statistics.median(map(figure, self.measurements))

    @property
    def images_per_second(self) -> float:
        """Throughput."""
        return self.median(lambda run: run.photos / run.seconds)

    @property
    def cpu_per_image(self) -> float:
        """CPU time of all processes, in seconds."""
        return self.median(lambda run: run.cpu_seconds / run.photos)

    @property
    def memory(self) -> float:
        """Peak in bytes."""
        return self.median(lambda run: run.memory)


@dataclass(frozen=True)
class Comparison:
    """All results, and the bytes per photo of the image files that go in and come out."""

    results: list[Result]
    file_bytes: float

    @property
    def compared(self) -> list[Result]:
        """Those that did not fail."""
        return [result for result in self.results if not result.failure]

    @property
    def ours(self) -> Result:
        """Ours, which is always among them."""
        return next(result for result in self.results if result.peer.name == OURS)


def compare(peers: Sequence[Peer], photos: int, rounds: int, say: Callable[[str], None]) -> Comparison:
    """Measure `peers`, ours among them, whose family must come first; `say` is told of each step.

    Raises PeerError: ours cannot be run.
    """
    results = [Result(peer, failure=obstacle(peer.module)) for peer in peers]
    modules = list(dict.fromkeys(result.peer.module for result in results if not result.failure))
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder, number_of_jobs = Path(name), itertools.count()
        (folder / "photos").mkdir()
        rows = write_photos(folder / "photos", photos)

        def new_job(some: Sequence[Row]) -> Job:
            return Job(folder / "photos", folder / f"job{next(number_of_jobs)}", tuple(some))

        reference: Reference = {}
        file_bytes = 0.0
        for number in range(rounds):
            turn = number % len(modules)
            for module in modules[turn:] + modules[:turn]:  # nobody always follows the same neighbour
                family = [result for result in results if result.peer.module == module and not result.failure]
                try:
                    with started(module, folder) as session:
                        if not reference:
                            job = new_job(rows)
                            session.do(OURS, job)
                            reference, some = read_pictures(job), job.rows[:WARM]
                            files = [job.path(row) for row in some]
                            files += [job.picture(row, name) for row in some for name in PICTURES]
                            file_bytes = sum(file.stat().st_size for file in files) / len(some)
                        for result in family:
                            say(f"round {number + 1} of {rounds}: {result.peer.name}")
                            jobs = new_job(rows[: result.peer.warm]), new_job(spread(rows, result.peer.most))
                            take_turn(session, result, *jobs, reference)
                except PeerError as error:
                    if not reference:
                        raise
                    for result in family:
                        result.failure = result.failure or str(error)
    return Comparison(results, file_bytes)


def take_turn(session: Session, result: Result, warm_up: Job, job: Job, reference: Reference) -> None:
    """Warm a contestant up, compare its pictures, take its time; in its first turn also the bytes on the wire."""
    peer, first = result.peer, not result.measurements
    try:
        sent = session.do(peer.name, warm_up, count=first)
        result.failure = difference(warm_up, reference)
        if result.failure:
            return
        measurement = session.measure(peer.name, job)
        result.failure = difference(job, reference, files_only=not first)
    except PeerError as error:
        result.failure = str(error)
        return
    finally:
        for folder in (warm_up.output, job.output):
            shutil.rmtree(folder, ignore_errors=True)
    if first:
        result.on_the_wire, result.wire_bytes = session.on_the_wire[peer.name], sent / len(warm_up.rows)
    result.measurements.append(measurement)


def spread(rows: Sequence[Row], most: int | None) -> Sequence[Row]:
    """At most so many rows from all over the table, so that they cost what all do; None for all."""
    if most is None or most >= len(rows):
        return rows
    return [rows[round(place)] for place in np.linspace(0, len(rows) - 1, most)]
