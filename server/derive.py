"""Derives the configs that fit a machine from the hand-written config.pbtxt of each model.

`python -m server.derive --gpus N` writes them without starting a server.
"""

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from contract.command import run
from contract.limits import megabytes, most_megapixels
from server.gpus import parse_selection
from server.installation import ServerError
from server.pytorch import read_report, serve_with_torch, torch_models
from server.tensorrt import accelerator, engine_folder, fit_batch, keep_engine

LARGEST_CPU_BATCH = 8
# Queue delays on a CPU, microseconds for each row of the largest batch. What leaves a model in one batch arrives at the
# next one together; the first networks wait for the client, and for photos of other sizes to be decoded.
DELAY_MICROSECONDS, FIRST_DELAY_MICROSECONDS = 15_000, 25_000
FIRST_NETWORKS = ("segment", "albedo")  # they take what decode gives
RAGGED = "recombine"  # the network whose requests differ in shape
FIRST_MODEL = "decode"  # it refuses what needs too much memory
# Memory is divided among the photos that are computed at once and those that wait, of which each takes a share of that.
# How many wait is up to the clients: with max_queue_size Triton 2.51 stops for good when a queue has once been full.
WAITING, WAITING_SHARE = 64, 0.02
USABLE_SHARE, OWN_GIGABYTES = 0.85, 1.5  # of the machine's memory; and what the server and its networks take of it
PHONE_PIXELS = 12_000_000  # of a photo that each machine should take
LEAST_MEGABYTES, MOST_MEGABYTES = 250, 16_000  # for one photo; an answer of more would exceed gRPC's 2 GB
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Machine:
    """What the configs are to fit."""

    gpus: int  # number of GPUs, 0 for none
    max_batch: int | None = None  # of every model; None: the hand-written one on GPUs, `cpu_batch` on the CPU
    processes: int = 1  # instances of each Python model (decode, encode)
    instances: int | None = None  # of each network on each GPU; None keeps the hand-written number
    native: bool = False  # NVIDIA's own backends serve the networks, as in its container, not those in server/backends
    memory: int | None = None  # GB that the server may use; None keeps the hand-written limit of a photo
    turns: bool = True  # on a GPU, of the long networks, where each is a process of its own (server/backends)
    engines: Path | None = None  # where a native server keeps TensorRT engines; None: the CUDA provider alone

    @property
    def cpu_batch(self) -> int:
        """Largest batch on a CPU: a row for each core, two cores for each process; more would only add latency.

        Less where the memory does not hold so many photos of a phone.
        """
        rows = min(LARGEST_CPU_BATCH, 2 * self.processes)
        if self.memory is None:
            return rows
        return max(1, min(rows, int(self.usable_megabytes / megabytes(1, 1, PHONE_PIXELS) - WAITING_SHARE * WAITING)))

    @property
    def usable_megabytes(self) -> float:
        """Memory for photos."""
        return 1000 * max(0.0, USABLE_SHARE * (self.memory or 0) - OWN_GIGABYTES)

    @property
    def config_name(self) -> str:
        """Name of the derived configs: model_repository/<model>/configs/<name>.pbtxt."""
        device = f"gpu{self.gpus}" if self.gpus else "cpu"
        batch = f"-batch{self.max_batch}" if self.max_batch else ""
        instances = f"-instances{self.instances}" if self.instances else ""
        memory = f"-{self.memory}gb" if self.memory else ""
        native = "-native" if self.native else "" if self.turns else "-no-turns"
        engines = "-tensorrt" if self.engines else ""
        return f"{device}-proc{self.processes}{batch}{instances}{memory}{native}{engines}"


def this_machine(gpus: int) -> Machine:
    """Describe this machine: `gpus` GPUs, its memory, and its CPU cores shared by decode and encode."""
    return Machine(gpus=gpus, processes=max(1, min(16, len(os.sched_getaffinity(0)) // 2)), memory=read_memory())


def read_memory(limits: Sequence[Path] = MEMORY_LIMITS) -> int:
    """Memory that this machine or, where that is less, this container gives, whole GB, at least 1."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in limits:
        if file.exists() and (text := file.read_text().strip()).isdecimal():  # not "max"
            found.append(int(text))
    return max(1, min(found) // 10**9)


def read_config(file: Path) -> model_config_pb2.ModelConfig:
    """Parse a config.pbtxt. Raises ServerError: it is not one; the message gives file, line and column."""
    config = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(file.read_text("utf-8"), config)
    except text_format.ParseError as error:
        raise ServerError(f"{file} cannot be read: {error}") from error
    return config


def derive(config: model_config_pb2.ModelConfig, machine: Machine) -> model_config_pb2.ModelConfig:
    """Return a copy of a production config that fits `machine`; the tensors never change."""
    derived = model_config_pb2.ModelConfig()
    derived.CopyFrom(config)
    derived.max_batch_size = machine.max_batch or (config.max_batch_size if machine.gpus else machine.cpu_batch)
    if config.platform == "ensemble":
        return derived
    if config.name == FIRST_MODEL and machine.memory:
        limit_photos(derived, machine)
    if config.backend == "python":
        derived.instance_group[0].count = machine.processes
        if not machine.gpus:
            # A batch of recombine is encoded as one batch. If its first photo were encoded alone, its client would send
            # the next photo early, and that one's queue delay would end before the others arrive.
            derived.dynamic_batching.max_queue_delay_microseconds = DELAY_MICROSECONDS * derived.max_batch_size
        return derived
    if machine.gpus:
        fit_gpus(derived, machine.gpus)
        fit_batch(derived)
        if not machine.native:
            # Triton's Python backend moves inputs to the CPU unless told not to.
            derived.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value = "no"
            if machine.turns and config.name in FIRST_NETWORKS:
                # The two long networks; the others work while a long one's process hands its answers on.
                derived.parameters["take_turns"].string_value = "yes"
        if not machine.engines and accelerator(derived) is not None:
            derived.optimization.ClearField("execution_accelerators")
        for group in derived.instance_group:
            group.count = machine.instances or group.count
        for warmup in derived.model_warmup:
            warmup.batch_size = min(warmup.batch_size, derived.max_batch_size)
    else:
        del derived.instance_group[:]
        derived.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)
        derived.ClearField("model_warmup")  # nothing to compile; the first real inference is soon enough
        derived.ClearField("optimization")
        delay = FIRST_DELAY_MICROSECONDS if config.name in FIRST_NETWORKS else DELAY_MICROSECONDS
        derived.dynamic_batching.max_queue_delay_microseconds = delay * derived.max_batch_size
    if config.name == RAGGED and not machine.native:
        # Our Python-based backend runs one batch per shape, so photos of different sizes may share an execution.
        for tensor in derived.input:
            tensor.allow_ragged_batch = -1 in tensor.dims
    return derived


def limit_photos(config: model_config_pb2.ModelConfig, machine: Machine) -> None:
    """Set how much memory a photo may take, so that a batch of such photos and those that wait fit the machine.

    On GPUs photos are computed in the GPUs' memory, which the hand-written limits are for: none is larger there.
    """
    computed = 0 if machine.gpus else config.max_batch_size
    shares = computed + WAITING_SHARE * WAITING * max(1, machine.gpus)
    most = min(MOST_MEGABYTES, max(LEAST_MEGABYTES, int(machine.usable_megabytes / shares)))
    memory, megapixels = (config.parameters[name] for name in ("max_memory_megabytes", "max_megapixels"))
    if not machine.gpus:
        megapixels.string_value = f"{min(float(megapixels.string_value), most_megapixels(most)):.4g}"
    memory.string_value = str(min(most, int(memory.string_value)) if machine.gpus else most)


def fit_gpus(config: model_config_pb2.ModelConfig, gpus: int) -> None:
    """Give a network one instance group per GPU, copied from its first."""
    pattern = model_config_pb2.ModelInstanceGroup()
    pattern.CopyFrom(config.instance_group[0])
    del config.instance_group[:]
    for gpu in range(gpus):
        group = config.instance_group.add()
        group.CopyFrom(pattern)
        group.gpus[:] = [gpu]
        group.host_policy = f"gpu_{gpu}"


def derive_all(repository: Path, machine: Machine) -> dict[str, model_config_pb2.ModelConfig]:
    """Return the config of every model of a repository, fitted to `machine` and to the formats of its networks.

    Raises ServerError: a config.pbtxt or an export.json cannot be read.
    """
    files = sorted(repository.glob("*/config.pbtxt"))
    configs = {file.parent.name: derive(read_config(file), machine) for file in files}
    serve_with_torch(configs, torch_models(repository), machine.native)
    for model, config in configs.items():
        if machine.engines and (report := read_report(repository / model)):
            keep_engine(config, engine_folder(machine.engines, model, report["sha256"]))
    return configs


def write_derived(repository: Path, machine: Machine) -> str:
    """Write configs/<name>.pbtxt beside every config.pbtxt of a repository; return <name>.

    Files are replaced atomically and only when they change, so servers may share a repository.

    Raises ServerError: a config.pbtxt or an export.json cannot be read, or the repository cannot be written.
    """
    configs = derive_all(repository, machine)
    try:
        for model, config in configs.items():
            if config.platform == "ensemble":  # Triton wants a version folder, and git does not keep empty ones
                (repository / model / "1").mkdir(exist_ok=True)
            text = text_format.MessageToString(config)
            text = f"# Derived from ../config.pbtxt for {machine}; do not edit.\n{text}"
            write_config(repository / model / "configs" / f"{machine.config_name}.pbtxt", text)
    except OSError as error:
        raise ServerError(
            f"{error.filename} cannot be written ({error.strerror}), and this machine's configs belong there: "
            f"make {repository} writable, or copy it and name the copy with --repository."
        ) from error
    return machine.config_name


def write_config(file: Path, text: str) -> None:
    """Write a derived config unless it is there already. Raises OSError."""
    if file.exists() and file.read_text("utf-8") == text:
        return
    file.parent.mkdir(exist_ok=True)
    partial = file.with_suffix(f".{socket.gethostname()}.{os.getpid()}.partial")
    partial.write_text(text, "utf-8")
    partial.replace(file)


def positive(text: str) -> int:
    """Parse a command line's number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Write the configs for a machine and print their name; return 0, or 1 when they cannot be derived."""
    parser = argparse.ArgumentParser(
        prog="python -m server.derive",
        description="Write configs/<name>.pbtxt beside every config.pbtxt and print <name>, which "
        "`tritonserver --model-config-name=<name>` serves. Example: python -m server.derive --gpus 2 --max-batch 8",
    )
    option = parser.add_argument
    option("--repository", type=Path, default=Path("model_repository"), metavar="DIR", help="default: %(default)s")
    option("--gpus", type=parse_selection, default="0", metavar="N", help="use so many, or a list: 0,2,5 (default: 0)")
    option("--max-batch", type=positive, metavar="N", help="limit every batch (default: what suits the device)")
    option("--native", action="store_true", help="derive for NVIDIA's own backends, as in its container")
    option("--engines", type=Path, metavar="DIR", help="keep TensorRT engines there (only with --native)")
    arguments = parser.parse_args(argv)
    machine = this_machine(arguments.gpus.count)
    machine = replace(machine, max_batch=arguments.max_batch, native=arguments.native, engines=arguments.engines)
    try:
        print(write_derived(arguments.repository, machine))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run(main)
