"""Runs a piece of work in a process of its own, with a time limit: what crashes there costs nothing else."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks.rig.places import CORES

Send = Callable[[Any], None]
END_SECONDS = 5.0  # that a process whose work is done may take to end


@dataclass(frozen=True)
class Setting:
    """Where and how is measured."""

    tiny: bool  # a dry run: networks a few channels wide, on the CPU
    batches: tuple[int, ...]  # in the order in which they are measured; at the first, answers are compared
    folder: Path  # for files that need not be kept
    logs: Path  # for what the processes print
    start: str = "fork"  # or spawn: how child processes are started

    @property
    def device(self) -> torch.device:
        """The one GPU, or the CPU in a dry run."""
        return torch.device("cpu") if self.tiny else torch.device("cuda", 0)

    def reference(self, network: str) -> Path:
        """The file of a network's answers in float32."""
        return self.folder / f"{network}.reference.pt"

    def log(self, *names: str) -> Path:
        """A file for what a process prints."""
        return self.logs / ("-".join(names).replace(" ", "-") + ".log")


def run_isolated(setting: Setting, work: Callable[[Send], None], seconds: float, log: Path) -> tuple[list[Any], str]:
    """Run `work` in a child process until it ends, or for `seconds`, then kill it and all that it started.

    A forked child finds what this process has imported and built. It can use a GPU only if this process never did,
    and threads only if this process's libraries have started none. What it prints goes to `log`.

    Returns:
        What it sent by the function that it is given, and what ended it early, "" if nothing did.
    """
    context: Any = multiprocessing.get_context(setting.start)  # its stub knows no Process
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_enter, args=(work, sender, log))
    process.start()
    sender.close()
    sent: list[Any] = []
    deadline = time.monotonic() + seconds
    try:
        with suppress(EOFError):  # it has closed its end
            while receiver.poll(max(0.0, deadline - time.monotonic())):
                sent.append(receiver.recv())
        in_time = time.monotonic() < deadline
        process.join(END_SECONDS if in_time else 0.0)
    finally:  # after Ctrl-C too, which the child's session does not get
        with suppress(ProcessLookupError, PermissionError):  # compilers that it started may outlive it
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()
        process.join()
    code = process.exitcode
    if not in_time:
        return sent, f"stopped after {seconds:.0f} s"
    if code == 0:
        return sent, ""
    how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
    words = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return sent, f"the process ended with {how}" + (f": {words[-1][:200]}" if words else "")


def _enter(work: Callable[[Send], None], sender: Connection, log: Path) -> None:
    """What the child does: redirect what it prints, work on all cores, and end without this process's tidying up."""
    os.setsid()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    torch.set_num_threads(CORES)  # its parent keeps to one thread, since threads do not survive a fork
    work(sender.send)
    sender.close()
