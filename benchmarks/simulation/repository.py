"""Derives the repository that is simulated from model_repository/: the real path around stand-ins for the networks."""

import shutil
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.simulation.scenario import Scenario, cores
from benchmarks.simulation.timings import Timing
from server.derive import read_config

PRODUCTION = Path(__file__).resolve().parents[2] / "model_repository"
STAND_IN = Path(__file__).with_name("stand_in.py")


def write_repository(repository: Path, gpus: Path, scenario: Scenario) -> None:
    """Write `repository`, whose stand-ins lock and write files in the folder `gpus`. Both folders are made.

    Raises ServerError: a config.pbtxt cannot be read.
    """
    gpus.mkdir(parents=True)
    for file in sorted(PRODUCTION.glob("*/config.pbtxt")):
        config = read_config(file)
        version = repository / config.name / "1"
        if config.name in scenario.timings:
            version.mkdir(parents=True)
            shutil.copy(STAND_IN, version / "model.py")
            stand_in(config, scenario.gpus, slowed(scenario.timings[config.name], scenario.slowdown), gpus)
        elif config.backend == "python":
            shutil.copytree(file.parent / "1", version, ignore=shutil.ignore_patterns("__pycache__"))
            # No more than GPUs, or the client would take these for the busiest network.
            instances(config, [f"process_{number}" for number in range(min(cores(), scenario.gpus))])
        else:
            version.mkdir(parents=True)
        if config.HasField("dynamic_batching"):
            waits = config.dynamic_batching.max_queue_delay_microseconds
            config.dynamic_batching.max_queue_delay_microseconds = round(waits * scenario.slowdown)
        (version.parent / file.name).write_text(text_format.MessageToString(config))


def stand_in(config: model_config_pb2.ModelConfig, gpus: int, timing: Timing, folder: Path) -> None:
    """Change a network's config: the same tensors and batching, an instance of the stand-in for each GPU."""
    config.backend = "python"
    config.ClearField("model_warmup")
    config.ClearField("optimization")
    instances(config, [f"gpu_{number}_of_{gpus}" for number in range(1, gpus + 1)])
    parameters = {"gpus": str(folder), "fixed": repr(timing.fixed), "per_image": repr(timing.per_image)}
    for name, value in parameters.items():
        config.parameters[name].string_value = value


def instances(config: model_config_pb2.ModelConfig, names: list[str]) -> None:
    """Give a model one CPU instance of each name, in a group of its own because the server sets the size of a group."""
    del config.instance_group[:]
    for name in names:
        config.instance_group.add(name=name, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)


def slowed(timing: Timing, factor: float) -> Timing:
    """The timing of a GPU `factor` times slower."""
    return Timing(timing.fixed * factor, timing.per_image * factor)
