"""Measures the chip, a network's reference in strict float32, and its variants; runs in a process of its own."""

import gc
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.forms import Ask, Tensors, UnavailableError, as_tuple
from benchmarks.gpu.plan import Draw, Variant, built, contract_of, fresh_inputs, parameters
from benchmarks.gpu.results import Chip, NetworkFacts, Point
from benchmarks.rig.report import BenchmarkError
from export.check.gate import PRECISIONS, Measurement, Precision, compare
from export.exporter import Castable
from export.tensors import example_inputs

SIDE, TINY_SIDE = 8192, 512  # of the matrices
BYTES, TINY_BYTES = 4 << 30, 64 << 20  # of what is copied
ROWS = 2  # that the reference is asked for at a time: float32 takes memory
TIMED = 2.0  # seconds that the rounds of a point take together, where that makes more than the fewest
FEWEST, MOST, TINY = 3, 20, 1  # rounds whose median counts; in a dry run
WARM_UP = 2  # batches that do not count: the first compiles and chooses kernels, the second may still record
NO_TIME = "not measured: no time was left"
ROUNDS = 10  # of a ceiling

Send = Callable[[Any], None]


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


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out; not every runtime has a type of its own for it."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(one in str(error).lower() for one in words)


def measure_chip(setting: Setting, send: Send) -> None:
    """Send the Chip with its own ceilings, or the BenchmarkError that there is none."""
    device = setting.device
    name = f"CPU, PyTorch {torch.__version__}"
    if device.type == "cuda":
        if not torch.cuda.is_available():
            send(BenchmarkError("PyTorch sees no GPU here: `python -m benchmarks gpu --dry-run` rehearses on the CPU."))
            return
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, PyTorch {torch.__version__}, "
        name += f"CUDA {torch.version.cuda}"
    side, size = (TINY_SIDE, TINY_BYTES) if setting.tiny else (SIDE, BYTES)

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
    send(Chip(name, product(torch.float16), product(torch.bfloat16), copy))


@torch.no_grad()
def measure_reference(setting: Setting, name: str, send: Send) -> None:
    """Write a network's answers for as many rows as the first batch has, and send its NetworkFacts."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    device, inputs = setting.device, example_inputs(contract_of(name), setting.batches[0])
    network = built(name, setting.tiny).to(device)
    parts = []
    for rows in zip(*(torch.split(value, ROWS) for value in inputs), strict=True):
        parts.append([answer.cpu() for answer in as_tuple(network(*(value.to(device) for value in rows)))])
    outputs = tuple(torch.cat(part) for part in zip(*parts, strict=True))
    torch.save((inputs, outputs), setting.reference(name))
    row = tuple(value[:1].to(device) for value in inputs)
    send(NetworkFacts(parameters(network), count_flops(network, row)))


def count_flops(network: nn.Module, row: Tensors) -> int:
    """Floating-point operations for one row, each operation counted as it runs; attention unfused, that none hides."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(*row)
    return int(counter.get_total_flops())


def measure_variant(setting: Setting, name: str, variant: Variant, seconds: float, send: Send) -> None:
    """Send a Point for each batch size; what prevents one is its finding, and the next is tried.

    `seconds` is the time in which to be done; sizes that would take longer are not begun.
    """
    deadline = time.monotonic() + seconds
    batches = variant.batches(setting.batches, setting.tiny)
    with torch.no_grad(), sdpa_kernel(list(variant.attention), set_priority=True):
        try:
            with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
                ask = make(setting, name, variant, Path(folder))
                draw = fresh_inputs(contract_of(name), setting.device)
                found = compared(setting, name, variant.precision, ask)
                ms_per_image = 0.0  # as far as is known
                for batch in batches:
                    point = Point(name, variant.name, batch)
                    rounds = WARM_UP + 1 + FEWEST
                    if time.monotonic() + rounds * batch * ms_per_image / 1e3 > deadline:
                        point = replace(point, finding=NO_TIME)
                    else:
                        point = measure_point(setting, point, ask, draw, found)
                    ms_per_image = point.ms_per_image or ms_per_image
                    send(point)
        except Exception as error:  # every form raises types of its own; whatever it is concerns all batches
            for batch in batches:
                send(finding(Point(name, variant.name, batch), error))


def make(setting: Setting, name: str, variant: Variant, folder: Path) -> Ask:
    """Put the network on the device, cast and change it, and give it its form."""
    network = built(name, setting.tiny).to(setting.device)
    if variant.precision != "fp32" and isinstance(network, Castable):
        network.cast_weights(PRECISIONS[variant.precision])
    for change in variant.changes:
        change(network)
    return variant.form(network, contract_of(name), folder)


def compared(setting: Setting, name: str, precision: Precision, ask: Ask) -> list[Measurement]:
    """What the gate measures of a variant's answers to the reference's inputs.

    Nothing where there is no reference, or memory is too small for its batch. On a GPU PyTorch rounds what float32
    convolutions multiply to TF32, as many bits as float16 has, so that its float32 is held to half precision's limits.
    """
    if not setting.reference(name).exists():
        return []
    rounded = setting.device.type == "cuda" and torch.backends.cudnn.allow_tf32
    limits: Precision = "fp16" if rounded and precision == "fp32" else precision
    inputs, outputs = torch.load(setting.reference(name))
    try:
        answers = [answer.cpu() for answer in ask(tuple(value.to(setting.device) for value in inputs))]
    except Exception as error:
        if not out_of_memory(error):
            raise
        return []
    return [
        Measurement(spec.name, len(inputs[0]), measure, value, limit)
        for spec, answer, truth in zip(contract_of(name).outputs, answers, outputs, strict=True)
        for measure, value, limit in compare(spec, answer, truth, limits, random_weights=True)
    ]


def measure_point(setting: Setting, point: Point, ask: Ask, draw: Draw, found: Sequence[Measurement]) -> Point:
    """Time batches of fresh inputs, and take the median."""
    device, batch = setting.device, point.batch
    try:
        gc.collect()  # what earlier batches held
        torch.cuda.empty_cache()

        def once() -> float:
            fresh = draw(batch)
            return milliseconds(device, lambda: ask(fresh))

        for _ in range(TINY if setting.tiny else WARM_UP):
            once()
        estimate = once() / 1e3
        rounds = TINY if setting.tiny else max(FEWEST, min(MOST, int(TIMED / estimate)))
        times = [once() for _ in range(rounds)]
    except Exception as error:
        return finding(point, error)
    return replace(
        point,
        ms_per_image=statistics.median(times) / batch,
        memory_mb=memory_mb(device),
        parity={f"{one.output} {one.measure}": one.value for one in found if one.measure != "differing"},
        faithful=all(one.passed for one in found) if found else None,
    )


def finding(point: Point, error: BaseException) -> Point:
    """A point with what stands in the place of its numbers."""
    if out_of_memory(error):
        return replace(point, finding="out of memory")
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, UnavailableError):
        return replace(point, finding=first[:200], unavailable=True)
    return replace(point, finding=f"fails: {type(error).__name__}: {first[:160]}")
