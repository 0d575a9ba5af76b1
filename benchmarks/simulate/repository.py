"""Derives the repository that is simulated from model_repository/: the real path around stand-ins for the networks."""

import shutil
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.rig.places import CORES, REPOSITORY
from benchmarks.simulate.scenario import Scenario
from server.derive import read_config

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
