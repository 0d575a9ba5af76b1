"""A table of where the time of one batch goes: kernels on a GPU, PyTorch's operators on a CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

ROWS, WIDTH = 60, 110  # of the table; characters of a name


def table(title: str, action: Callable[[], object], batch: int, device: torch.device) -> str:
    """Run an action for a batch once and tell what took how long, the longest first."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as recorded:
        action()
        if on_gpu:
            torch.cuda.synchronize(device)
    spent: dict[str, tuple[float, int]] = {}  # milliseconds and calls by name
    averages: Any = recorded.key_averages()
    for one in averages:
        if on_gpu and (one.device_type.name != "CUDA" or one.is_user_annotation):
            continue
        microseconds = one.self_device_time_total if on_gpu else one.self_cpu_time_total
        before, calls = spent.get(one.key, (0.0, 0))
        spent[one.key] = (before + microseconds / 1e3, calls + one.count)
    total = sum(ms for ms, _ in spent.values())
    lines = [f"{title}, batch {batch}: {total / batch:.3f} ms an image in {'kernels' if on_gpu else 'operators'}", ""]
    lines.append(f"{'kernel' if on_gpu else 'operator':<{WIDTH}} {'ms an image':>12} {'share':>7} {'calls':>6}")
    for name, (ms, calls) in sorted(spent.items(), key=lambda item: -item[1][0])[:ROWS]:
        lines.append(f"{name[:WIDTH]:<{WIDTH}} {ms / batch:12.4f} {ms / max(total, 1e-9):7.1%} {calls:6}")
    return "\n".join(lines) + "\n"
