"""Runs a piece of work in a process of its own, with a time limit: what crashes there costs nothing else."""

from __future__ import annotations

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
from typing import Any, Literal, TypeAlias

Send: TypeAlias = Callable[[Any], None]
StartMethod: TypeAlias = Literal["fork", "spawn"]
END_SECONDS = 5.0  # that a process whose work is done may take to end


@dataclass(frozen=True)
class Outcome:
    """What a process sent before it ended, and what ended it early, "" if nothing did."""

    sent: tuple[Any, ...]
    fault: str


def run_isolated(work: Callable[[Send], None], seconds: float, log: Path, start: StartMethod = "fork") -> Outcome:
    """Run `work` in a child process until it ends, or for `seconds`.

    A forked child finds what this process has imported and built. It can use a GPU only if this process never did,
    and threads only if this process's libraries have started none.

    Args:
        work: is given the function that sends something picklable here.
        seconds: after which the process and all that it started is killed.
        log: receives what the process prints.
        start: how the process comes about.
    """
    context: Any = multiprocessing.get_context(start)  # its stub knows no Process
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=enter, args=(work, sender, log))
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
    return Outcome(tuple(sent), describe(process.exitcode, in_time, seconds, log))


def enter(work: Callable[[Send], None], sender: Connection, log: Path) -> None:
    """What the child does: redirect what it prints, work, and end without this process's tidying up."""
    os.setsid()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    work(sender.send)
    sender.close()


def describe(exit_code: int | None, in_time: bool, seconds: float, log: Path) -> str:
    """What ended a process early, "" if nothing did."""
    if not in_time:
        return f"stopped after {seconds:.0f} s"
    if exit_code == 0:
        return ""
    how = f"signal {signal.Signals(-exit_code).name}" if exit_code and exit_code < 0 else f"exit code {exit_code}"
    words = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"the process ended with {how}" + (f": {words[-1][:200]}" if words else "")
