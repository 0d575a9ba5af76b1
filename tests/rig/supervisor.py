"""A server that a test may kill: `python -m server` on one port, which starts Triton again after each death."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from contract.names import ENSEMBLE, MODELS
from server.embedded import claim_ports
from tests.rig.places import REPOSITORY, ROOT


class Supervised:
    """The running server; between two of its lives nobody answers."""

    def __init__(self, folder: Path, repository: Path = REPOSITORY) -> None:
        """What it says goes into `folder`/server.txt, Triton's log into `folder`/triton.log."""
        ports = claim_ports("127.0.0.1", 0, 0, 0)
        self.grpc_url, self.http_url, self.metrics_url = (f"127.0.0.1:{port}" for port in ports)
        self._said = folder / "server.txt"
        options = zip(("--grpc-port", "--http-port", "--metrics-port"), map(str, ports), strict=True)
        self._command = [sys.executable, "-m", "server", "--repository", str(repository)]
        self._command += ["--log", str(folder / "triton.log"), *(word for option in options for word in option)]
        self._said.touch()
        self.start()

    def start(self) -> None:
        """Start it, the first time or after its own death."""
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._said.read_text()

    def lives(self) -> int:
        """How often it has come up so far."""
        return self.said.count("Ctrl-C stops it.")

    def is_up(self) -> bool:
        """Whether it has come up since its last death, and a process of every model is there."""
        there = (self.processes("triton_python_backend_stub", f"{model}_0_0") for model in MODELS if model != ENSEMBLE)
        return self.lives() > self.said.count("Triton is started again.") and all(there)

    def processes(self, program: str, argument: str) -> list[int]:
        """Ids of the server's present processes that run `program` with `argument` in their command lines."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    words = process.cmdline()
                    if words and words[0].endswith(program) and argument in " ".join(words):
                        found.append(process.pid)
        return found

    def kill(self, program: str, argument: str = "", number: int = signal.SIGKILL) -> None:
        """Send a signal to the processes of `program` that have `argument` in their command lines."""
        for pid in self.processes(program, argument):
            os.kill(pid, number)


@contextlib.contextmanager
def supervised_server(folder: Path, repository: Path = REPOSITORY) -> Iterator[Supervised]:
    """A server for as long as the block lasts; its logs are in `folder`."""
    server = Supervised(folder, repository)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()
