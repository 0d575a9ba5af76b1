"""The embedded server as tests start it: on free ports, as on a machine without GPUs."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from server.derive import this_machine
from server.embedded import Options, RunningServer, embedded_server


def serving(repository: Path, folder: Path, **machine: Any) -> AbstractContextManager[RunningServer]:
    """Serve a repository; Triton's log goes to `folder`. `machine` has what shall differ from this machine."""
    like = replace(this_machine(gpus=0), **machine)
    return embedded_server(
        Options(
            repository,
            like,
            metrics_host="127.0.0.2",  # apart from the rest, as where Prometheus is on another machine
            grpc_port=0,
            http_port=0,
            metrics_port=0,
            log=folder / "triton.log",
        )
    )
