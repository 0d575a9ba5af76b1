"""A scenario and its run: the server on stand-ins, the client as users start it, when each GPU was busy."""

import json
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
from benchmarks.rig.triton import serving
from benchmarks.simulate.timings import Timings
from client.triton.connection import window_of
from contract.names import NETWORKS
from server.derive import FIRST_NETWORKS, Machine, read_config
from server.installation import COMMON

STAND_IN, TURNS = Path(__file__).with_name("stand_in.py"), COMMON / "turns.py"
_DIFFERENT = 8  # photos; further rows name them again


@dataclass(frozen=True)
class Scenario:
    """GPUs, timings and photos of one simulation."""

    gpus: int
    batch: int  # the largest of every model
    timings: Timings  # in truth
    slowdown: float  # everything that the path's configuration says in seconds takes so many times as long
    side: int = 1024  # pixels of a photo, which is square
    window: int | None = None  # the client's; None: as it finds fit
    measure: int = 2  # windows of photos; one more fills the path before, and one empties it after them
    turns: bool = True  # of the long networks on a GPU, as in the embedded server

    @property
    def ideal(self) -> float:
        """Images per second of GPUs that are always busy with full batches, slowed down."""
        return self.timings.ideal_rate(self.gpus, self.batch) / self.slowdown

    @property
    def photos(self) -> int:
        """The rows of the run."""
        return (self.measure + 2) * self.in_flight

    @property
    def in_flight(self) -> int:
        """The calls that the client has in flight while there are rows."""
        if self.window:
            return self.window
        network = model_config_pb2.ModelConfig(max_batch_size=self.batch)
        network.instance_group.add(count=self.gpus, kind=model_config_pb2.ModelInstanceGroup.KIND_GPU)
        return window_of([network])


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
            instances(config, [f"process_{number}" for number in range(min(CORES, scenario.gpus))])
        else:
            version.mkdir(parents=True)
        if config.name in NETWORKS:
            shutil.copy(STAND_IN, version / "model.py")
            shutil.copy(TURNS, version)
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
    if scenario.turns and config.name in FIRST_NETWORKS:
        config.parameters["take_turns"].string_value = "yes"
    timing = scenario.timings.networks[config.name]
    config.parameters["sharing"].string_value = repr(scenario.timings.sharing)
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
    work: float  # seconds of the GPU; it takes longer where networks take turns
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
    with serving(models, Machine(gpus=0, max_batch=scenario.batch), log=folder / "triton.log") as server:
        started = time.time()
        command = client_command(server.grpc_url, table, folder / "out", "--window", str(scenario.in_flight))
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
    busy: dict[str, float] = {}
    until: dict[str, float] = {}
    for one in sorted(executions, key=lambda one: one.started):
        rest = max(one.started, until.get(one.gpu, begin), begin)
        busy[one.gpu] = busy.get(one.gpu, 0.0) + max(0.0, min(one.ended, end) - rest)
        until[one.gpu] = max(one.ended, until.get(one.gpu, begin))
    return {gpu: seconds / (end - begin) for gpu, seconds in busy.items()}


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
