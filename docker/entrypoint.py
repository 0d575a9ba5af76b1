"""Becomes tritonserver: derives the configs for the GPUs at hand and builds the command line from the environment.

GPUS            a number of GPUs, a list such as 0,2,5, or UUIDs; 0 serves on the CPU
ENGINES         tensorrt, or cuda to do without
RELIGHT_BIND    the address on which the machine publishes gRPC
PINNED_POOL     bytes of pinned host memory per CPU socket through which tensors go to and from the GPUs
CUDA_POOL       bytes on each GPU for tensors on their way between networks
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from docker.places import ENGINES, GRPC_PORT, HTTP_PORT, METRICS_PORT, MODELS, TRITON
from docker.secrets import read_access, refuse_open_doors
from docker.served import announce, fingerprint
from server.access import Access, access_flags
from server.derive import Machine, this_machine, write_derived
from server.gpus import Gpu, Selection, find_gpus, host_policies, parse_selection
from server.installation import DEFAULTS, ServerError
from server.tensorrt import engines_of, tensorrt_version

ANY_ADDRESS = "0.0.0.0"  # within the container; Docker decides who else reaches it
# Seconds for requests in flight when the server is stopped. Under load Triton 2.51 never answers some of an ensemble's
# requests and waits them out, so more would only delay the restart; clients send what was not answered again.
DRAIN = 30


@dataclass(frozen=True)
class Settings:
    """What the environment asks for."""

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
    except ValueError as error:
        raise ServerError(f"The environment cannot be read: {error}.") from error


def fit_machine(settings: Settings, gpus: Sequence[Gpu], native: bool, tensorrt: str | None) -> Machine:
    """Describe the machine to derive configs for.

    An engine belongs to one kind of GPU, and a model has one folder for its engines: mixed machines get none.
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


def tritonserver_command(settings: Settings, access: Access, config_name: str, gpus: Sequence[Gpu]) -> list[str]:
    """Build tritonserver's command line."""
    http_address = access.clear_text_host(ANY_ADDRESS)
    return [
        str(TRITON / "bin" / "tritonserver"),
        f"--model-repository={MODELS}",
        f"--model-config-name={config_name}",
        # The admin key lets `docker.upgrade` exchange networks; nobody else can.
        "--model-control-mode=explicit",
        "--load-model=*",
        f"--backend-directory={TRITON / 'backends'}",
        "--backend-config=python,shm-region-prefix-name=relight_",
        f"--grpc-address={ANY_ADDRESS}",
        f"--grpc-port={GRPC_PORT}",
        f"--http-address={http_address}",
        f"--http-port={HTTP_PORT}",
        # Never published beyond the machine itself: Prometheus asks within the containers' network.
        f"--metrics-address={ANY_ADDRESS}",
        f"--metrics-port={METRICS_PORT}",
        f"--exit-timeout-secs={DRAIN}",
        f"--pinned-memory-pool-byte-size={settings.pinned_pool}",
        *(f"--cuda-memory-pool-byte-size={gpu}:{settings.cuda_pool}" for gpu in range(len(gpus))),
        *host_policies(gpus),
        # Administration is closed to all who lack the key, and to all where there is none.
        *access_flags(access, ANY_ADDRESS),
    ]


def prepare(environment: Mapping[str, str]) -> list[str]:
    """Derive the configs, announce what will be served, and return tritonserver's command line.

    Raises:
        ServerError: something is missing; the message says what to do.
    """
    settings, access = read_settings(environment), read_access()
    refuse_open_doors(access, settings.bind)
    if not (MODELS / "relight" / "config.pbtxt").exists():
        raise ServerError(f"{MODELS} holds no ensemble `relight`: run `docker compose up export` first.")
    gpus = find_gpus(settings.selection)
    # Ours are Python-based backends; NVIDIA's image brings libraries.
    native = (TRITON / "backends" / "onnxruntime" / "libtriton_onnxruntime.so").exists()
    tensorrt = tensorrt_version()
    machine = fit_machine(settings, gpus, native, tensorrt)
    config_name = write_derived(MODELS, machine)
    # Triton wants a version folder for the ensemble too.
    (MODELS / "relight" / "1").mkdir(exist_ok=True)
    announce(fingerprint(MODELS, config_name, gpus, tensorrt))
    return tritonserver_command(settings, access, config_name, gpus)


def main() -> None:
    """Become tritonserver; exit with 1 when it cannot be started."""
    try:
        command = prepare(os.environ)
        visible = read_settings(os.environ).selection.environment
    except ServerError as error:
        sys.exit(str(error))
    sweep_shared_memory()
    os.execve(command[0], command, {**DEFAULTS, **os.environ, **visible})


def sweep_shared_memory(folder: Path = Path("/dev/shm")) -> None:
    """Remove what the Python backend of a killed server left: a restarted container keeps its shared memory."""
    for region in folder.glob("relight_*"):
        region.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
