"""A run that is hurt again and again: what can die is killed at random moments, and started again as a user would."""

import os
import random
import signal
import subprocess
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

from tests.rig.runs import recorded, started
from tests.rig.supervisor import Supervised

CLIENT, CLIENT_ASKED, SERVER, TRITON, STUB, DISK = (
    "client killed",
    "client stopped by SIGTERM",
    "server killed",
    "tritonserver killed",
    "a model's process killed",
    "disk full",
)
OFTEN = {STUB: 4, CLIENT: 2, CLIENT_ASKED: 1, TRITON: 2, SERVER: 1}
OPTIONS = ("--files", "output,albedo,mask", "--quiet", "--wait-for-server", "120")
SETTLED_SECONDS = 20.0  # after which a process is as large as it should get
LOOK_SECONDS = 0.2


class Night:
    """A server, a client, and what happens to them; both are dead at the end of the `with` block."""

    def __init__(
        self, folder: Path, models: Path, table: Path, disk: Path, chance: random.Random, pause: float
    ) -> None:
        """Start the server; what it and the client say goes into `folder`, pictures go to `disk`/out."""
        self._table, self._disk, self._chance, self._pause = table, disk, chance, pause
        self._said = (folder / "client.txt").open("a")
        self._server = Supervised(folder, models)
        self._client = self._start_client()
        self._sizes: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        self.faults: Counter[str] = Counter()

    def __enter__(self) -> "Night":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._client, self._server.process):
            process.terminate()
            process.wait()
        self._said.close()

    def run(self) -> None:
        """Until the client has ended by itself with nothing left to do."""
        rows = self._table.read_text().count("\n") - 1
        due, filled = time.monotonic() + self._pause, False
        while True:
            time.sleep(LOOK_SECONDS)
            self._measure()
            if self._client.poll() is not None:
                if self._ballast.exists():
                    self._ballast.unlink()
                    self.faults[DISK] += 1
                elif self._client.returncode in (0, 1):
                    return
                self._client = self._start_client()
            if self._server.process.poll() is not None:
                self._server.start()
            if not filled and len(recorded(self._disk / "out")) > rows / 2:
                filled = True
                self._fill_disk()
            elif time.monotonic() > due and not self._ballast.exists():
                due = time.monotonic() + self._pause * (1.0 + self._chance.random())
                self._hurt(self._chance.choices(list(OFTEN), list(OFTEN.values()))[0])

    def growth(self) -> dict[str, list[float]]:
        """By kind of process, how many times as large each one became after it had settled."""
        found = defaultdict(list)
        for (kind, _), sizes in self._sizes.items():
            settled = [size for moment, size in sizes if moment > sizes[0][0] + SETTLED_SECONDS]
            if settled:
                found[kind].append(max(settled) / settled[0])
        return found

    @property
    def _ballast(self) -> Path:
        return self._disk / "ballast"

    def _start_client(self) -> "subprocess.Popen[str]":
        return started(self._server.grpc_url, self._table, self._disk / "out", *OPTIONS, stderr=self._said)

    def _fill_disk(self) -> None:
        """Leave no room on the disk, until the client has noticed."""
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 2**16):
                pass

    def _hurt(self, fault: str) -> None:
        self.faults[fault] += 1
        if fault == CLIENT:
            self._client.kill()
        elif fault == CLIENT_ASKED:
            self._client.terminate()
        elif fault == SERVER:
            self._server.process.kill()
        elif fault == TRITON:
            self._server.kill("tritonserver")
        elif stubs := self._server.processes("triton_python_backend_stub", ""):
            os.kill(self._chance.choice(sorted(stubs)), signal.SIGKILL)

    def _measure(self) -> None:
        """Note the resident memory of every process of either side."""
        now = time.monotonic()
        for root, kind in ((self._client.pid, "client"), (self._server.process.pid, "server")):
            try:
                family = (psutil.Process(root), *psutil.Process(root).children(recursive=True))
            except psutil.Error:
                continue
            for process in family:
                try:
                    if size := process.memory_info().rss:  # one that has died, and nobody has waited for, has none
                        self._sizes[kind, process.pid].append((now, size))
                except psutil.Error:
                    continue
