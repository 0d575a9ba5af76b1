"""The comparison: rounds of all contestants, each family started anew in each round, warmed up, checked, timed."""

import itertools
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.peers.check import Reference, difference, missing, read_pictures
from benchmarks.peers.job import Job
from benchmarks.peers.registry import OURS, WARM, Peer, obstacle
from benchmarks.peers.session import Measurement, PeerError, Session, started
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.photos import write_photos


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


class Place:
    """The photos, and new folders for what is made of them; goes with its folder."""

    def __init__(self, folder: Path, photos: int) -> None:
        self.folder, self.photos = folder, folder / "photos"
        self.photos.mkdir()
        self.rows = write_photos(self.photos, photos)
        self.numbers = itertools.count()

    def job(self, rows: Sequence[Row]) -> Job:
        """A job with a new folder."""
        return Job(self.photos, self.folder / f"job{next(self.numbers)}", tuple(rows))


def compare(peers: Sequence[Peer], photos: int, rounds: int, say: Callable[[str], None]) -> Comparison:
    """Measure `peers`, ours among them, whose family must come first; `say` is told of each step.

    Raises PeerError: ours cannot be run.
    """
    results = [Result(peer, failure=obstacle(peer.module)) for peer in peers]
    modules = list(dict.fromkeys(result.peer.module for result in results if not result.failure))
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        place = Place(Path(name), photos)
        reference: Reference = {}
        file_bytes = 0.0
        for number in range(rounds):
            turn = number % len(modules)
            for module in modules[turn:] + modules[:turn]:  # nobody always follows the same neighbour
                family = [result for result in results if result.peer.module == module and not result.failure]
                try:
                    with started(module, place.folder) as session:
                        if not reference:
                            job = place.job(place.rows)
                            session.do(OURS, job)
                            reference, file_bytes = read_pictures(job), bytes_per_photo(job, job.rows[:WARM])
                        for result in family:
                            say(f"round {number + 1} of {rounds}: {result.peer.name}")
                            take_turn(session, result, place, reference)
                except PeerError as error:
                    if not reference:
                        raise
                    for result in family:
                        result.failure = result.failure or str(error)
    return Comparison(results, file_bytes)


def take_turn(session: Session, result: Result, place: Place, reference: Reference) -> None:
    """Warm a contestant up, compare its pictures, take its time; in its first turn also the bytes on the wire."""
    peer, first = result.peer, not result.measurements
    warm_up, job = place.job(place.rows[: peer.warm]), place.job(spread(place.rows, peer.most))
    try:
        sent = session.do(peer.name, warm_up, count=first)
        result.failure = difference(warm_up, reference) or ""
        if result.failure:
            return
        measurement = session.measure(peer.name, job)
        result.failure = (difference(job, reference) if first else missing(job)) or ""
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


def bytes_per_photo(job: Job, rows: Sequence[Row]) -> float:
    """The mean size of a row's photo and of the files made of it, together."""
    files = [*map(job.path, rows), *(job.picture(row, name) for row in rows for name in PICTURES)]
    return sum(file.stat().st_size for file in files) / len(rows)
