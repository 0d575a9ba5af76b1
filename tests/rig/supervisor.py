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
        """Process ids in the server's present life."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if words[0].endswith(program) and argument in " ".join(words) and self._is_ours(int(folder.name)):
                    found.append(int(folder.name))
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

    def _is_ours(self, pid: int) -> bool:
        parent = pid
        while parent > 1:
            if parent == self._process.pid:
                return True
            stat = Path(f"/proc/{parent}/stat").read_text()
            parent = int(stat.rpartition(")")[2].split()[1])
        return False

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
