"""Measures one network: its reference in strict float32, then a variant of it; runs in a process of its own."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.device import measured_chip, memory_mb, milliseconds, out_of_memory, release_memory
from benchmarks.gpu.forms import Ask, Tensors, UnavailableError, as_tuple
from benchmarks.gpu.networks import built, contract_of, fresh_inputs, parameters
from benchmarks.gpu.process import Send, Setting
from benchmarks.gpu.results import NetworkFacts, Point
from benchmarks.gpu.variants import Variant
from benchmarks.rig.report import BenchmarkError
from export.check.gate import PRECISIONS, Measurement, Precision, compare
from export.exporter import Castable
from export.tensors import example_inputs

ROWS = 2  # that the reference is asked for at a time: float32 takes memory
TIMED = 2.0  # seconds that the rounds of a point take together, where that makes more than the fewest
FEWEST, MOST, TINY = 3, 20, 1  # rounds whose median counts; in a dry run
WARM_UP = 2  # batches that do not count: the first compiles and chooses kernels, the second may still record
NO_TIME = "not measured: no time was left"


def measure_chip(setting: Setting, send: Send) -> None:
    """Send the Chip, or the BenchmarkError that there is none."""
    try:
        send(measured_chip(setting.device, setting.tiny))
    except BenchmarkError as error:
        send(error)


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


def measure_point(
    setting: Setting, point: Point, ask: Ask, draw: Callable[[int], tuple[Tensor, ...]], found: Sequence[Measurement]
) -> Point:
    """Time batches of fresh inputs, and take the median."""
    device, batch = setting.device, point.batch
    try:
        release_memory(device)

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
