"""Runs a scenario: the server on stand-ins, the client as its users start it, and when each GPU was busy meanwhile."""

import json
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig.photos import write_photos, write_table
from benchmarks.rig.runs import Steady, client_command, watch
from benchmarks.rig.triton import serving
from benchmarks.simulate.repository import write_repository
from benchmarks.simulate.scenario import Scenario
from server.derive import Machine

_DIFFERENT = 8  # photos; further rows name them again


@dataclass(frozen=True)
class Execution:
    """A batch on a GPU; times are seconds since the epoch."""

    gpu: str
    network: str
    rows: int
    started: float
    ended: float


@dataclass(frozen=True)
class Measured:
    """A simulation."""

    steady: Steady  # while the client has a full window
    seconds: float  # of the whole run, starting the client included
    executions: list[Execution]  # of the whole run
    table: Path  # what the client wrote


def simulate(scenario: Scenario, folder: Path) -> Measured:
    """Run a scenario in an empty folder; the client's files are left in it.

    Raises:
        ServerError: the server does not start.
        RunFailedError: the client fails, or a photo does.
    """
    gpus, models = folder / "gpus", folder / "models"
    write_repository(models, gpus, scenario)
    photos = [row.photo for row in write_photos(folder, min(scenario.photos, _DIFFERENT), scenario.side)]
    table = write_table(folder / "photos.csv", photos, scenario.photos)
    window = ("--window", str(scenario.window)) if scenario.window else ()
    with serving(models, Machine(gpus=0, max_batch=scenario.batch), log=folder / "triton.log") as server:
        started = time.time()
        command = client_command(server.grpc_url, table, folder / "out", *window)
        steady = watch(command, server, scenario.photos, scenario.in_flight)
        seconds = time.time() - started
    executions = [one for one in read_executions(gpus) if one.started >= started]
    return Measured(steady, seconds, executions, folder / "out" / table.name)


def read_executions(gpus: Path) -> list[Execution]:
    """What the stand-ins wrote on the files of a folder, those of one GPU in order."""
    return [
        Execution(gpu=file.stem, **json.loads(line))
        for file in sorted(gpus.glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]


def busy_shares(executions: Iterable[Execution], begin: float, end: float) -> dict[str, float]:
    """For each GPU the share of the time from `begin` to `end` in which it computed, 0–1."""
    shares: dict[str, float] = {}
    for one in executions:
        shares[one.gpu] = shares.get(one.gpu, 0.0) + overlap(one, begin, end) / (end - begin)
    return shares


def useful_gpus(executions: Iterable[Execution], cost: Mapping[str, float], begin: float, end: float) -> float:
    """How many GPUs, always busy with full batches, would have done the same from `begin` to `end`.

    cost: seconds of a GPU for one photo of a full batch, by network. A batch that was begun counts by its share.
    """
    work = sum(
        one.rows * cost[one.network] * overlap(one, begin, end) / (one.ended - one.started) for one in executions
    )
    return work / (end - begin)


def overlap(one: Execution, begin: float, end: float) -> float:
    """The seconds of an execution that lie between `begin` and `end`."""
    return max(0.0, min(one.ended, end) - max(one.started, begin))


def mean_batch(executions: Iterable[Execution], network: str, begin: float, end: float) -> float:
    """The mean rows of a network's executions that started from `begin` to `end`; NaN where there were none."""
    rows = [one.rows for one in executions if one.network == network and begin <= one.started < end]
    return statistics.fmean(rows) if rows else float("nan")
