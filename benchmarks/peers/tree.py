"""A process with all that it started: its CPU time, its memory, its end. Read from Linux' /proc."""

import ctypes
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One line of /proc/<pid>/stat.

    Attributes:
        started: clock ticks after the machine's start; with the pid it names a process for good.
        ticks: CPU time of the process and of the children it has waited for.
    """

    pid: int
    parent: int
    started: int
    ticks: int
    ended: bool


def adopt_orphans(adopt: bool = True) -> None:
    """Make what our children leave behind our own children, so that a daemon stays in the tree; or do so no more."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def read_process(pid: int) -> Process | None:
    """A process, or None where it is gone."""
    try:
        text = Path("/proc", str(pid), "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # a name may hold blanks and brackets
    state, parent, times, started = fields[0], fields[1], fields[11:15], fields[19]
    return Process(pid, int(parent), int(started), sum(map(int, times)), state in "ZX")


def tree_of(root: int) -> list[Process]:
    """`root` and its descendants."""
    found = [read_process(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    children: dict[int, list[Process]] = {}
    for process in found:
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    members = [process for process in found if process is not None and process.pid == root]
    for member in members:  # grows as it goes
        members += children.get(member.pid, [])
    return members


def cpu_seconds(root: int) -> float:
    """CPU time of a tree since its start, user and system; what its dead processes took stays with who waited."""
    return sum(process.ticks for process in tree_of(root)) / TICK


def memory_bytes(root: int) -> int:
    """Proportional set size of a tree: a page that several processes share counts once, in parts."""
    total = 0
    for process in tree_of(root):
        try:
            lines = Path("/proc", str(process.pid), "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024


def is_running(process: Process) -> bool:
    """Whether this very process still runs."""
    now = read_process(process.pid)
    return now is not None and now.started == process.started and not now.ended


def end(processes: list[Process], patience: float) -> None:
    """Wait `patience` seconds for processes to end, then kill those that have not; bury those that are ours."""
    deadline = time.monotonic() + patience
    while left := [process for process in processes if not is_over(process)]:
        if time.monotonic() > deadline:
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.02)


def is_over(process: Process) -> bool:
    """Whether a process has ended; if it is a child of ours it is gone then, else its parent buries it."""
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return not is_running(process)
