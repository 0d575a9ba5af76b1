"""A real Triton started without the start-up probe, for tests that kill it or ask it in a way the probe cannot."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.derive import this_machine
from server.embedded import Options, starting_server


@contextmanager
def bare_server(
    repository: Path, log: Path, *extra: str, grpc_port: int = 0
) -> Iterator[tuple[int, "subprocess.Popen[bytes]"]]:
    """The gRPC port and the process of a tritonserver on `repository` that may not be ready yet."""
    options = Options(repository, this_machine(gpus=0), "127.0.0.1", grpc_port, 0, 0, log, extra=extra)
    with starting_server(options) as server:
        try:
            yield int(server.grpc_url.rpartition(":")[2]), server.process
        finally:
            server.process.kill()  # an orderly end takes seconds, and nobody is waiting for an answer
