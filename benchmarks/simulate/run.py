"""A scenario and its run: the server on stand-ins, the client as users start it, when each GPU was busy."""

import json
import math
import shutil
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks import CORES, REPOSITORY
from benchmarks.rig.photos import write_photos, write_table
from benchmarks.rig.processes import Steady, client_command, watch
from benchmarks.rig.report import BenchmarkError, read_toml
from benchmarks.rig.triton import serving
from client.triton.connection import window_of
from contract.names import NETWORKS
from server.derive import Machine, read_config

STAND_IN = Path(__file__).with_name("stand_in.py")
TIMINGS_FILE = Path(__file__).resolve().parent.parent / "timings.toml"
_DIFFERENT = 8  # photos; further rows name them again
_HOST_SECONDS = 0.1  # of a core for a 1024² photo, the copies into the stand-ins included; what `simulate` prints
_HOST_LOAD = 0.5  # of this machine's cores: what is left over keeps the path's latency as short as a large host's


@dataclass(frozen=True)
class Timing:
    """The seconds that a network keeps its GPU busy: `fixed` for an execution and `per_image` for each of its rows."""

    fixed: float
    per_image: float

    def seconds(self, batch: int) -> float:
        """For one execution of `batch` images."""
        return self.fixed + self.per_image * batch


def read_timings(file: Path = TIMINGS_FILE) -> dict[str, Timing]:
    """The timing of each of NETWORKS, in seconds; the file has milliseconds.

    Raises BenchmarkError: there is no such file, it is not TOML, or a number is missing, negative or none.
    """
    content = read_toml(file)

    def seconds(network: str, key: str) -> float:
        section = content.get(network)
        number = section.get(key) if isinstance(section, dict) else None
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0.0 <= number < float("inf"):
            raise BenchmarkError(f"{file}: {network}.{key} must be milliseconds, a number from 0, not {number!r}")
        return number / 1000.0

    return {network: Timing(seconds(network, "fixed"), seconds(network, "per_image")) for network in NETWORKS}


def ideal_rate(timings: Mapping[str, Timing], gpus: int, batch: int) -> float:
    """Images per second of `gpus` GPUs, each of them always busy with full batches of one network or another."""
    return gpus * batch / sum(timing.seconds(batch) for timing in timings.values())


def fitting_slowdown(timings: Mapping[str, Timing], gpus: int, batch: int) -> int:
    """The least whole factor at which this machine's cores are half busy with 1024² photos; 1 where they suffice."""
    return max(1, math.ceil(ideal_rate(timings, gpus, batch) * _HOST_SECONDS / (_HOST_LOAD * CORES)))


@dataclass(frozen=True)
class Scenario:
    """GPUs, timings and photos of one simulation."""

    gpus: int
    batch: int  # the largest of every model
    timings: Mapping[str, Timing]  # of each network, in truth
    slowdown: float  # everything that the path's configuration says in seconds takes so many times as long
    side: int = 1024  # pixels of a photo, which is square
    window: int | None = None  # the client's; None: as it finds fit
    measure: int = 2  # windows of photos; one more fills the path before, and one empties it after them

    @property
    def ideal(self) -> float:
        """Images per second of GPUs that are always busy with full batches, slowed down."""
        return ideal_rate(self.timings, self.gpus, self.batch) / self.slowdown

    @property
    def photos(self) -> int:
        """The rows of the run."""
        return (self.measure + 2) * self.in_flight

    @property
    def in_flight(self) -> int:
        """The calls that the client has in flight while there are rows."""
        if self.window:
            return self.window
        networks = [model_config_pb2.ModelConfig(name=name, max_batch_size=self.batch) for name in self.timings]
        for network in networks:
            network.instance_group.add(count=self.gpus)
        return window_of(networks)


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
        (version.parent / file.name).write_text(text_format.MessageToString(config), "utf-8")


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

    Raises ServerError, RunFailedError: the server does not start; the client fails, or a photo does.
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
    files = sorted(gpus.glob("*.jsonl"))  # one for each GPU
    executions = [
        Execution(file.stem, **json.loads(line)) for file in files for line in file.read_text("utf-8").splitlines()
    ]
    later = [one for one in executions if one.started >= started]  # than the server's start-up probe
    return Measured(steady, seconds, later, folder / "out" / table.name)


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
    shares = ((one, overlap(one, begin, end) / (one.ended - one.started)) for one in executions)
    return sum(one.rows * cost[one.network] * share for one, share in shares) / (end - begin)


def overlap(one: Execution, begin: float, end: float) -> float:
    """The seconds of an execution that lie between `begin` and `end`."""
    return max(0.0, min(one.ended, end) - max(one.started, begin))


def mean_batch(executions: Iterable[Execution], network: str, begin: float, end: float) -> float:
    """The mean rows of a network's executions that started from `begin` to `end`; NaN where there were none."""
    rows = [one.rows for one in executions if one.network == network and begin <= one.started < end]
    return statistics.fmean(rows) if rows else float("nan")
