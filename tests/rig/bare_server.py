"""A real Triton started without the start-up probe, for tests that kill it or ask it in a way the probe cannot."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.derive import this_machine, write_derived
from server.embedded import Options, claim_ports, remove_shared_memory, start, stop, tritonserver_command
from server.installation import assemble_backends, environment, find_installation


@contextmanager
def bare_server(
    repository: Path, log: Path, *extra: str, grpc_port: int = 0
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """The gRPC port and the process of a tritonserver on `repository` that may not be ready yet."""
    installation, machine = find_installation(), this_machine(gpus=0)
    options = Options(repository, machine, extra=extra)
    ports = claim_ports(options.host, grpc_port, 0, 0)
    with tempfile.TemporaryDirectory() as scratch:
        assemble_backends(installation, Path(scratch) / "backends")
        prefix = f"relight_{os.getpid()}_{ports[0]}_"
        config_name = write_derived(repository, machine)
        command = tritonserver_command(installation, options, ports, config_name, Path(scratch) / "backends", prefix)
        process = start(command, environment(installation), log)
        try:
            yield ports[0], process
        finally:
            process.kill()  # an orderly end takes seconds, and nobody is waiting for an answer
            stop(process)
            remove_shared_memory(prefix)
