"""Runs a scenario: the server on stand-ins, the client as users start it, and when each GPU was busy meanwhile."""

import json
import shutil
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.rig.photos import write_photos, write_table
from benchmarks.rig.places import CORES, REPOSITORY
from benchmarks.rig.runs import Steady, client_command, watch
from benchmarks.rig.triton import serving
from benchmarks.simulate.scenario import Scenario
from server.derive import Machine, read_config

STAND_IN = Path(__file__).with_name("stand_in.py")


def write_repository(repository: Path, gpus: Path, scenario: Scenario) -> None:
    """Write `repository`, whose stand-ins lock and write files in the folder `gpus`. Both folders are made.

    Raises ServerError: a config.pbtxt cannot be read.
    """
    gpus.mkdir(parents=True)
    for file in sorted(REPOSITORY.glob("*/config.pbtxt")):
        config = read_config(file)
        version = repository / config.name / "1"
        if config.backend == "python":
            shutil.copytree(file.parent / "1", version, ignore=shutil.ignore_patterns("__pycache__"))
            # No more than GPUs, or the client would take these for the busiest network.
            instances(config, [f"process_{number}" for number in range(min(CORES, scenario.gpus))])
        else:
            version.mkdir(parents=True)
        if config.name in scenario.timings:
            shutil.copy(STAND_IN, version / "model.py")
            stand_in(config, scenario, gpus)
        if config.HasField("dynamic_batching"):
            waits = config.dynamic_batching.max_queue_delay_microseconds
            config.dynamic_batching.max_queue_delay_microseconds = round(waits * scenario.slowdown)
        (version.parent / file.name).write_text(text_format.MessageToString(config))


def stand_in(config: model_config_pb2.ModelConfig, scenario: Scenario, folder: Path) -> None:
    """Change a network's config: the same tensors and batching, an instance of the stand-in for each GPU."""
    config.backend = "python"
    config.ClearField("model_warmup")
    config.ClearField("optimization")
    instances(config, [f"gpu_{number}_of_{scenario.gpus}" for number in range(1, scenario.gpus + 1)])
    timing = scenario.timings[config.name]
    config.parameters["gpus"].string_value = str(folder)
    config.parameters["fixed"].string_value = repr(timing.fixed * scenario.slowdown)
    config.parameters["per_image"].string_value = repr(timing.per_image * scenario.slowdown)


def instances(config: model_config_pb2.ModelConfig, names: list[str]) -> None:
    """Give a model one CPU instance of each name, in a group of its own because the server sets the size of a group."""
    del config.instance_group[:]
    for name in names:
        config.instance_group.add(name=name, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)


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
