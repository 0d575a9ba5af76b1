"""A process with all that it started: its CPU time, its memory, its end."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil


def tree_of(root: int) -> list[psutil.Process]:
    """The process `root` and its descendants."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def cpu_of(process: psutil.Process) -> float:
    """CPU-seconds of a process and of the children that it has waited for, user and system; 0 where it is gone."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def cpu_seconds(root: int) -> float:
    """CPU time of a tree since its start; that of its ended processes stays with who waited for them."""
    return sum(map(cpu_of, tree_of(root)))


def cpu_by_role(server: int, client: int) -> dict[str, float]:
    """CPU-seconds so far of `client`, `tritonserver`, each model that runs in processes by its name, and the `machine`.

    server, client: their process ids.
    """
    times = psutil.cpu_times()
    seconds: defaultdict[str, float] = defaultdict(float)
    seconds["machine"] = times.user + times.nice + times.system + times.irq + times.softirq
    seconds["client"] = cpu_seconds(client)
    for process in tree_of(server):
        seconds[_model_of(process)] += cpu_of(process)
    return dict(seconds)


def memory_bytes(root: int) -> int:
    """Proportional set size of a tree: a page that several processes share counts once, in parts."""
    total = 0
    for process in tree_of(root):
        with suppress(psutil.Error):  # it has ended
            total += process.memory_full_info().pss
    return total


def end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait for processes to end, then kill those that have not; children of ours are waited for."""
    _, left = psutil.wait_procs(list(processes), timeout=seconds)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=seconds)


def _model_of(process: psutil.Process) -> str:
    """The model of one of the server's processes: the first argument of Triton's stub is <model>/1/<file>."""
    with suppress(psutil.Error):  # it has ended meanwhile
        words = process.cmdline()
        if words and Path(words[0]).name == "triton_python_backend_stub":
            return Path(words[1]).parts[-3]
    return "tritonserver"
