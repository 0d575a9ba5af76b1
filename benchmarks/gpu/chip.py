"""The chip itself: its clock, its memory, and the ceilings that shares are shares of."""

import os
import resource
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks.gpu.results import Chip
from benchmarks.rig.report import BenchmarkError

SIDE, TINY_SIDE = 8192, 512  # of the matrices
BYTES, TINY_BYTES = 4 << 30, 64 << 20  # of what is copied
WARM_UP = 2  # rounds that do not count: they choose kernels and take memory
ROUNDS = 10  # of a ceiling


def milliseconds(device: torch.device, action: Callable[[], object]) -> float:
    """How long a call takes: on a GPU between two events in its stream, on a CPU by the clock."""
    if device.type == "cpu":
        started = time.perf_counter()
        action()
        return (time.perf_counter() - started) * 1e3
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    begin.record()
    action()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def memory_mb(device: torch.device) -> float:
    """Megabytes in use on the GPU, whoever took them: PyTorch keeps its peak. On a CPU, this process's peak."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measure_chip(tiny: bool, device: torch.device, send: Callable[[object], None]) -> None:
    """Send the Chip with its own ceilings, or the BenchmarkError that there is none."""
    name = f"CPU, PyTorch {torch.__version__}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            send(BenchmarkError("PyTorch sees no GPU here: `python -m benchmarks gpu --dry-run` rehearses on the CPU."))
            return
        properties = torch.cuda.get_device_properties(device)
        memory = properties.total_memory
        name = f"{properties.name}, {memory / 2**30:.0f} GiB, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    side, size = (TINY_SIDE, TINY_BYTES) if tiny else (SIDE, BYTES)

    def seconds(action: Callable[[], object]) -> float:
        return statistics.median([milliseconds(device, action) for _ in range(WARM_UP + ROUNDS)][WARM_UP:]) / 1e3

    def product(dtype: torch.dtype) -> float:
        # On zeros a chip draws less power and runs faster.
        left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        result = torch.empty(side, side, device=device, dtype=dtype)
        return 2 * side**3 / seconds(lambda: torch.mm(left, right, out=result)) / 1e12

    source = torch.randint(256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = 2 * size / seconds(lambda: target.copy_(source)) / 1e9
    send(Chip(name, product(torch.float16), product(torch.bfloat16), copy, memory / 1e6))
