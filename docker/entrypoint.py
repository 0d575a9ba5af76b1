"""Runs tritonserver: derives the configs for the GPUs of the machine, builds the command line from the environment.

When one of its processes has died, it says which and why, and starts Triton again. When Triton keeps dying, it ends
with 1, and Docker starts the container again.

GPUS            a number of GPUs, a list such as 0,2,5, or UUIDs; 0 serves on the CPU
ENGINES         tensorrt, or cuda for ONNX Runtime's CUDA provider alone
RELIGHT_BIND    the address on which the machine publishes gRPC
PINNED_POOL     bytes of pinned host memory per CPU socket through which tensors go to and from the GPUs
CUDA_POOL       bytes on each GPU for tensors on their way between networks
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from contract.command import run
from contract.decoding import VARIABLE, forget_processes
from contract.names import ENSEMBLE
from docker.places import ENGINES, GRPC_PORT, HTTP_PORT, LOOPBACK_HTTP, METRICS_PORT, MODELS, TRITON
from docker.secrets import check_exposure, read_access
from docker.served import announce, fingerprint
from server.access import Access
from server.command import MODEL_CONTROL, tritonserver_command
from server.derive import Machine, this_machine, write_derived
from server.embedded import remove_shared_memory
from server.gpus import Gpu, Selection, find_gpus, host_policies, parse_selection
from server.installation import DEFAULTS, ServerError
from server.tensorrt import engines_of, tensorrt_version
from server.watch import LAST_ANSWERS_SECONDS, Death, Watch, answered, keep_serving, start, stop, undisturbed

ANY_ADDRESS = "0.0.0.0"  # within the container; Docker decides who else reaches it
MEMORY_PREFIX = "relight_"
# Seconds for requests in flight and the end of the models when the server is stopped: 16 instances of `decode` end one
# after the other, in 21 s (server/command.py). Under load Triton 2.51 never answers some of an ensemble's requests, so
# a longer time would only delay the restart; clients retry what was not answered.
DRAIN = 30


@dataclass(frozen=True)
class Settings:
    """The environment's values."""

    selection: Selection
    use_tensorrt: bool
    bind: str
    pinned_pool: int
    cuda_pool: int


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the variables above; each has a default. Raises ServerError."""
    engines = environment.get("ENGINES") or "tensorrt"
    if engines not in ("tensorrt", "cuda"):
        raise ServerError(f"ENGINES={engines} is unknown: tensorrt or cuda.")
    try:
        return Settings(
            selection=parse_selection(environment.get("GPUS") or "8"),
            use_tensorrt=engines == "tensorrt",
            bind=environment.get("RELIGHT_BIND") or "127.0.0.1",
            pinned_pool=int(environment.get("PINNED_POOL") or 2 << 30),
            cuda_pool=int(environment.get("CUDA_POOL") or 1 << 30),
        )
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ServerError(f"The environment cannot be read: {error}.") from error


def fit_machine(settings: Settings, gpus: Sequence[Gpu], native: bool, tensorrt: str | None) -> Machine:
    """Describe the machine to derive configs for.

    An engine is for one kind of GPU, and a model has one folder for engines: a machine with several kinds gets none.
    """
    machine = replace(this_machine(len(gpus)), native=native)
    kinds = {gpu.name for gpu in gpus}
    if not (native and settings.use_tensorrt and kinds):
        return machine
    if tensorrt is None or len(kinds) > 1:
        reason = f"the GPUs differ ({', '.join(sorted(kinds))})" if tensorrt else "there is no libnvinfer"
        print(f"TensorRT is left out: {reason}. ONNX Runtime's CUDA provider serves.", flush=True)
        return machine
    return replace(machine, engines=engines_of(ENGINES, tensorrt, kinds.pop()))


def command_line(settings: Settings, access: Access, config_name: str, gpus: Sequence[Gpu]) -> list[str]:
    """Build tritonserver's command line."""
    base = tritonserver_command(
        TRITON / "bin" / "tritonserver",
        MODELS,
        config_name=config_name,
        backends=TRITON / "backends",
        memory_prefix=MEMORY_PREFIX,
        # Metrics are never published beyond the machine: Prometheus asks within the containers' network.
        hosts=(ANY_ADDRESS, access.clear_text_host(ANY_ADDRESS), ANY_ADDRESS),
        ports=(GRPC_PORT, HTTP_PORT, METRICS_PORT),
        exit_seconds=DRAIN,
        access=access,
    )
    return [
        *base,
        *MODEL_CONTROL,  # with the admin key, for `docker.upgrade`
        f"--pinned-memory-pool-byte-size={settings.pinned_pool}",
        *(f"--cuda-memory-pool-byte-size={gpu}:{settings.cuda_pool}" for gpu in range(len(gpus))),
        *host_policies(gpus),
    ]


def prepare(environment: Mapping[str, str]) -> list[str]:
    """Derive the configs, announce what will be served, and return tritonserver's command line.

    Raises ServerError: something is missing; the message says what to do.
    """
    settings, access = read_settings(environment), read_access()
    check_exposure(access, settings.bind)
    if not (MODELS / ENSEMBLE / "config.pbtxt").exists():
        raise ServerError(f"{MODELS} holds no ensemble `{ENSEMBLE}`: run `docker compose up export` first.")
    gpus = find_gpus(settings.selection)
    # Ours are Python-based backends; NVIDIA's image brings libraries.
    native = (TRITON / "backends" / "onnxruntime" / "libtriton_onnxruntime.so").exists()
    tensorrt = tensorrt_version()
    machine = fit_machine(settings, gpus, native, tensorrt)
    config_name = write_derived(MODELS, machine)
    announce(fingerprint(MODELS, config_name, gpus, tensorrt))
    return command_line(settings, access, config_name, gpus)


def live(command: list[str], environment: Mapping[str, str], notes: Path) -> Death:
    """Run tritonserver until something dies; stop what is left of it."""
    remove_shared_memory(MEMORY_PREFIX)  # of a killed server: a restarted container keeps it
    process = start(command, {**environment, VARIABLE: str(notes)}, None)
    watch = Watch(process, notes)
    try:
        return watch.wait(partial(answered, LOOPBACK_HTTP))
    finally:
        with undisturbed():
            stop(process, LAST_ANSWERS_SECONDS if watch.died else DRAIN + 10.0)
            forget_processes(notes)


def main() -> int:
    """Serve; return 0 after a stop on request, 1 when Triton cannot be started or keeps dying."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        command = prepare(os.environ)
        environment = {**DEFAULTS, **os.environ, **read_settings(os.environ).selection.environment}
        with tempfile.TemporaryDirectory() as notes:
            keep_serving(partial(live, command, environment, Path(notes)), partial(print, flush=True))
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    run(main)
