"""The command line of tritonserver, for the embedded server and for the containers."""

from pathlib import Path

from server.access import Access, access_flags
from server.derive import read_config

# An administrator may exchange networks; all models are loaded at the start, as without it.
MODEL_CONTROL = ("--model-control-mode=explicit", "--load-model=*")
# For the end of one instance. Triton's Python backend sleeps for a second, whatever its process does, and then waits
# until that has ended: 0.3 s on a CPU, more where it has used a GPU.
UNLOAD_SECONDS = 2


def tritonserver_command(
    binary: Path,
    repository: Path,
    *,
    config_name: str,
    backends: Path,
    memory_prefix: str,
    hosts: tuple[str, str, str],
    ports: tuple[int, int, int],
    exit_seconds: int,
    access: Access,
) -> list[str]:
    """Build it.

    Hosts (addresses) and ports are those of gRPC, HTTP and metrics. The names of the Python backend's shared memory
    begin with `memory_prefix`. When the server is stopped, requests in flight and the end of the models together get
    `exit_seconds`; then it ends without them.
    """
    grpc, *http = hosts
    grpc = f"[{grpc}]" if ":" in grpc else grpc
    addresses = (grpc, *(f"ipv6:{address}" if ":" in address else address for address in http))
    services = zip(("grpc", "http", "metrics"), addresses, ports, strict=True)
    return [
        str(binary),
        f"--model-repository={repository}",
        f"--model-config-name={config_name}",
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={memory_prefix}",
        *(flag for name, host, port in services for flag in (f"--{name}-address={host}", f"--{name}-port={port}")),
        f"--exit-timeout-secs={exit_seconds}",
        *access_flags(access, hosts[0]),
    ]


def unload_seconds(repository: Path, config_name: str) -> int:
    """Within how many seconds the models end, whose derived configs have that name.

    Models end side by side, but the instances of one of them one after the other.
    """
    configs = map(read_config, repository.glob(f"*/configs/{config_name}.pbtxt"))
    most: int = max(sum(group.count * max(1, len(group.gpus)) for group in one.instance_group) for one in configs)
    return UNLOAD_SECONDS * most
