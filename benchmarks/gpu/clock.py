"""Times a call on a device and reads the memory in use there: the one place that knows a GPU from a CPU."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable

import torch


def milliseconds(device: torch.device, action: Callable[[], object]) -> float:
    """How long a call takes: on a GPU between two events in its stream, on a CPU by the clock."""
    if device.type == "cpu":
        started = time.perf_counter()
        action()
        return (time.perf_counter() - started) * 1e3
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch does not annotate it
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch does not annotate it
    torch.cuda.synchronize(device)
    begin.record()
    action()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def forget(device: torch.device) -> None:
    """Give back what earlier batches held."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def memory_mb(device: torch.device) -> float:
    """Megabytes in use on the GPU, whoever took them: PyTorch keeps its peak. On a CPU, this process's peak."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return (total - free) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out; not every runtime has a type of its own for it."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(one in str(error).lower() for one in words)
