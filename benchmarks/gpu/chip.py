"""The chip's own ceilings: a large matrix product, and a copy from its memory to its memory."""

from __future__ import annotations

import statistics

import torch

from benchmarks.gpu.child import Send
from benchmarks.gpu.clock import milliseconds
from benchmarks.gpu.errors import CannotMeasureError
from benchmarks.gpu.results import Chip
from benchmarks.gpu.setting import Setting, prepare_child

SIDE, TINY_SIDE = 8192, 512  # of the matrices
BYTES, TINY_BYTES = 4 << 30, 64 << 20  # of what is copied
WARM_UP, ROUNDS = 3, 10


def measure_chip(setting: Setting, send: Send) -> None:
    """Send the Chip, or the CannotMeasureError that there is none."""
    prepare_child()
    device = setting.device
    if device.type == "cuda" and not torch.cuda.is_available():
        send(CannotMeasureError("PyTorch sees no GPU here: `python -m benchmarks gpu --dry-run` rehearses on the CPU."))
        return
    side, size = (TINY_SIDE, TINY_BYTES) if setting.tiny else (SIDE, BYTES)
    fp16, bf16 = (product(device, side, dtype) for dtype in (torch.float16, torch.bfloat16))
    send(Chip(name(device), fp16, bf16, copy(device, size)))


def name(device: torch.device) -> str:
    """The accelerator and the versions that drive it."""
    if device.type == "cpu":
        return f"CPU, PyTorch {torch.__version__}"
    properties = torch.cuda.get_device_properties(device)
    memory = properties.total_memory / 2**30
    return f"{properties.name}, {memory:.0f} GiB, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"


def product(device: torch.device, side: int, dtype: torch.dtype) -> float:
    """TFLOP/s of a product of two random square matrices; on zeros a chip draws less power and runs faster."""
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    result = torch.empty(side, side, device=device, dtype=dtype)
    times = [milliseconds(device, lambda: torch.mm(left, right, out=result)) for _ in range(WARM_UP + ROUNDS)]
    return 2 * side**3 / (statistics.median(times[WARM_UP:]) / 1e3) / 1e12


def copy(device: torch.device, size: int) -> float:
    """GB/s of a copy on the device, bytes read and written."""
    source = torch.randint(256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = [milliseconds(device, lambda: target.copy_(source)) for _ in range(WARM_UP + ROUNDS)]
    return 2 * size / (statistics.median(times[WARM_UP:]) / 1e3) / 1e9
