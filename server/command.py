"""The command line of tritonserver, for the embedded server and for the containers."""

from pathlib import Path

from server.access import Access, access_flags

# An administrator may exchange networks; all models are loaded at the start, as without it.
MODEL_CONTROL = ("--model-control-mode=explicit", "--load-model=*")


def tritonserver_command(
    binary: Path,
    repository: Path,
    *,
    config_name: str,
    backends: Path,
    memory_prefix: str,
    hosts: tuple[str, str, str],
    ports: tuple[int, int, int],
    drain_seconds: int,
    access: Access,
) -> list[str]:
    """Build it.

    Hosts (addresses) and ports are those of gRPC, HTTP and metrics. The names of the Python backend's shared memory
    begin with `memory_prefix`. Requests in flight get `drain_seconds` when the server is stopped.
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
        f"--exit-timeout-secs={drain_seconds}",
        *access_flags(access, hosts[0]),
    ]
