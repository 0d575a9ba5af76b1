"""A server that comes back: `python -m server` on one port, started again whenever it ends."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.rig.places import ROOT


class Supervised:
    """The running server; between two of its lives there may be none."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.grpc_url = f"127.0.0.1:{free.getsockname()[1]}"
        self._folder = folder
        self._ended = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep_running)
        self._thread.start()

    def processes(self, program: str, argument: str) -> list[int]:
        """Ids of the server's present processes that run `program` with `argument` in their command lines."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            for process in (server, *server.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    words = process.cmdline()
                    if words and words[0].endswith(program) and argument in " ".join(words):
                        found.append(process.pid)
        return found

    def kill(self, program: str, argument: str = "") -> None:
        """SIGKILL the processes of `program` that have `argument` in their command lines."""
        for pid in self.processes(program, argument):
            os.kill(pid, signal.SIGKILL)

    def lives(self) -> int:
        """How often it has come up so far."""
        return (self._folder / "server.txt").read_text().count("Ctrl-C stops it.")

    def close(self) -> None:
        """End it for good."""
        self._ended.set()
        self._process.terminate()
        self._thread.join()

    def _start(self) -> "subprocess.Popen[bytes]":
        ports = ("--grpc-port", self.grpc_url.rpartition(":")[2], "--http-port", "0", "--metrics-port", "0")
        with (self._folder / "server.txt").open("ab") as said:
            command = [sys.executable, "-m", "server", *ports, "--log", str(self._folder / "triton.log")]
            return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)

    def _keep_running(self) -> None:
        while not self._ended.is_set():
            self._process.wait()
            if not self._ended.is_set():
                self._process = self._start()
        self._process.wait()


@contextlib.contextmanager
def supervised_server(folder: Path) -> Iterator[Supervised]:
    """A server for as long as the block lasts; its logs are in `folder`."""
    server = Supervised(folder)
    try:
        yield server
    finally:
        server.close()
