"""CPU time of the path's processes: the client, tritonserver, and the processes of each model."""

import os
from collections import defaultdict
from pathlib import Path

from benchmarks.peers.tree import TICK, tree_of


def cpu_seconds(server: int, client: int) -> dict[str, float]:
    """CPU-seconds so far of `client`, of `tritonserver`, and of each model that runs in processes, by its name.

    server, client: their process ids.
    """
    seconds: defaultdict[str, float] = defaultdict(float)
    seconds["client"] = sum(process.ticks for process in tree_of(client)) / TICK
    for process in tree_of(server):
        seconds[model_of(process.pid)] += process.ticks / TICK
    return dict(seconds)


def model_of(process: int) -> str:
    """The model of one of the server's processes: the first argument of Triton's stub is <model>/1/<file>."""
    try:
        words = Path("/proc", str(process), "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return "tritonserver"  # it has ended meanwhile, and so have its models
    if Path(os.fsdecode(words[0])).name == "triton_python_backend_stub":
        return Path(os.fsdecode(words[1])).parts[-3]
    return "tritonserver"
