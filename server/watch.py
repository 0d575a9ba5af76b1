"""Starts tritonserver, watches and stops it: tells which of its processes has died, and why where the kernel says so.

Triton says that it is ready, and fails every call, after one of its models' processes has died; somebody has to look.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from contract.decoding import MOST_DEATHS, count_death
from contract.names import ENSEMBLE
from server.http_api import ask
from server.installation import ServerError
from server.probe import READY_TIMEOUT

CHILD = Path(__file__).with_name("child.py")
LOOK_SECONDS = 1.0  # a look costs 5 ms
ORDERLY_SECONDS = 0.5  # within this time Triton takes note of a process that it has told to end
# For requests in flight after a death. Those that need the dead process fail one by one, and Triton waits for it in
# vain until its own time for an orderly end is over.
LAST_ANSWERS_SECONDS = 2.0
STEADY_SECONDS = 60.0  # a server that ran for so long did not die at once
MOST_FRUITLESS = 5  # deaths at once, one after the other, after which starting again is given up

PROC = Path("/proc")
KILLED_FOR_MEMORY = PROC / "vmstat"  # its line oom_kill counts them, on the whole machine
DECODE = "decode"


@dataclass(frozen=True)
class Death:
    """How a run of Triton ended by itself."""

    sentence: str
    ready: bool  # whether it had become ready
    steady: bool  # whether it had answered anything since, or run for STEADY_SECONDS


class Watch:
    """Looks after one tritonserver and the processes that it starts for its models."""

    def __init__(self, process: "subprocess.Popen[bytes]", notes: Path | None = None) -> None:
        """`notes` is the folder of `contract.decoding`, where decode's photo is read after its death."""
        self._process, self._notes = process, notes
        self._models: dict[int, str] = {}  # of each process, by its id
        self._ended: dict[int, float] = {}  # when we saw first that a process had ended; Triton waits for orderly ones
        self._oom_kills = oom_kills()
        self.died = ""  # what `look` has found

    def look(self) -> str:
        """Return what has died, in a sentence; nothing while all live."""
        if self.died:
            return self.died
        if (code := self._process.poll()) is not None:
            self.died = f"Triton ended by itself ({self._cause(code)})."
            return self.died
        present = children(self._process.pid)
        # An ended process has no command any more.
        self._models = {pid: model for pid in present if (model := self._models.get(pid) or model_of(pid))}
        now = time.monotonic()
        self._ended = {pid: self._ended.get(pid, now) for pid in present if exit_code(pid) is not None}
        found = [pid for pid, since in self._ended.items() if now - since >= ORDERLY_SECONDS]
        self.died = " ".join(map(self._describe, found))
        return self.died

    def wait(self, asked: Callable[[], int]) -> Death:
        """Wait until something dies.

        asked: how many inferences were answered so far; raises ServerError where that cannot be said.

        A look at a time: between two Python handles a signal that came just before the call that blocks, or to another
        thread.
        """
        before: int | None = None
        steady, ready_since = False, 0.0
        while True:
            died = self.look()
            with suppress(ServerError):
                if not steady:
                    count = asked()
                    if before is None:
                        before, ready_since = count, time.monotonic()
                    steady = count > before or time.monotonic() - ready_since > STEADY_SECONDS
            if died:
                return Death(died, ready=before is not None, steady=steady)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ORDERLY_SECONDS if self._ended else LOOK_SECONDS)

    def _describe(self, pid: int) -> str:
        """How a model's process died."""
        model, code = self._models.get(pid), exit_code(pid)
        sentence = f"A process of model `{model}` has died ({'unknown cause' if code is None else self._cause(code)})"
        photo = count_death(self._notes, pid) if self._notes and model == DECODE else None
        if photo is None:
            return f"{sentence}."
        if photo.deaths < MOST_DEATHS:
            return f"{sentence} while it read a photo of {photo.size:,} bytes."
        return f"{sentence} over a photo of {photo.size:,} bytes again: that photo is refused from now on."

    def _cause(self, code: int) -> str:
        """How a process ended, from its exit code, or the negative of its signal."""
        if code >= 0:
            return f"exit code {code}"
        if code != -signal.SIGKILL:
            return signal.Signals(-code).name
        return "killed by the kernel: memory ran out" if oom_kills() > self._oom_kills else "killed by somebody"


def keep_serving(live: Callable[[], Death], say: Callable[[str], None]) -> NoReturn:
    """Let a server live again and again, until it dies at once too often, or has never become ready.

    live: starts it, waits, stops what is left of it, and returns how it died, or raises ServerError.

    Raises ServerError: it could not be started, or keeps dying; the message says why.
    """
    fruitless, served = 0, False
    while True:
        try:
            death = live()
        except ServerError as error:
            if not served:
                raise
            death = Death(str(error), ready=False, steady=False)
        served = served or death.ready
        if not served:
            raise ServerError(death.sentence)
        fruitless = 0 if death.steady else fruitless + 1
        if fruitless == MOST_FRUITLESS:
            raise ServerError(
                f"{death.sentence} It is not started again: it ended {fruitless} times, each time within "
                f"{STEADY_SECONDS:g} s of its start and without one answer."
            )
        say(f"{death.sentence} Triton is started again.")


def answered(http_url: str) -> int:
    """How many requests the ensemble of a server has answered so far. Raises ServerError."""
    statistics = json.loads(ask(http_url, f"/v2/models/{ENSEMBLE}/stats", timeout=READY_TIMEOUT))
    return sum(int(model["inference_stats"]["success"]["count"]) for model in statistics["model_stats"])


def start(command: list[str], env: dict[str, str], log: Path | None) -> "subprocess.Popen[bytes]":
    """Start a command that ends with this process, in a session that a terminal's Ctrl-C does not reach.

    It writes to `log`, or where this process does.
    """
    with log.open("ab") if log else nullcontext() as file:
        return subprocess.Popen(
            [sys.executable, str(CHILD), str(os.getpid()), *command],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,
        )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the block ends, so that a second one does not interrupt the cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda caught, _: came.append(caught)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


def stop(process: "subprocess.Popen[bytes]", timeout: float) -> None:
    """Shut the server down; kill its process group if it does not end within `timeout` seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    # After a crash of the server its Python processes have lost their parent, but not their group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def children(process: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    found = []
    for file in PROC.glob(f"{process}/task/*/children"):
        with suppress(OSError):  # the thread has ended
            found += [int(pid) for pid in file.read_text().split()]
    return found


def model_of(process: int) -> str | None:
    """The model for which Triton started a process, from its command `…_stub …/decode/1/model.py …`; else None."""
    with suppress(OSError):
        words = (PROC / str(process) / "cmdline").read_text(errors="replace").split("\0")
        if words[0].endswith("triton_python_backend_stub"):
            return Path(words[1]).parts[-3]
    return None


def exit_code(process: int) -> int | None:
    """How a process ended that nobody has waited for yet: its exit code, or the negative of its signal.

    None while it runs. See proc(5): the state is the first field after the name, the exit status the fiftieth.
    """
    try:
        fields = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it was waited for
        return None
    if fields[0] != "Z":
        return None
    status = int(fields[49])
    return -(status & 0x7F) if status & 0x7F else status >> 8


def oom_kills() -> int:
    """How many processes of this machine the kernel has killed because memory ran out; 0 where it does not say."""
    with suppress(OSError):
        for line in KILLED_FOR_MEMORY.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
