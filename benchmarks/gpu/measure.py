"""Measures one network in one variant, batch size by batch size; runs in a process of its own."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.attention import sdpa_kernel

from benchmarks.gpu.child import Send
from benchmarks.gpu.clock import forget, memory_mb, milliseconds, out_of_memory
from benchmarks.gpu.networks import FreshInputs, built, contract_of
from benchmarks.gpu.reference import compare_with_reference, worst
from benchmarks.gpu.results import Point
from benchmarks.gpu.runners import Ask, UnavailableError
from benchmarks.gpu.setting import Setting, prepare_child
from benchmarks.gpu.variants import Variant
from export.check.gate import PRECISIONS, Measurement
from export.exporter import Castable

TIMED = 2.0  # seconds that the rounds of a point take together, where that makes more than the fewest
NO_TIME = "not measured: no time was left"


def measure_variant(setting: Setting, name: str, variant: Variant, seconds: float, send: Send) -> None:
    """Send a Point for each batch size; what prevents one is its finding, and the next is tried.

    Args:
        setting: where and how.
        name: of the network.
        variant: how it runs.
        seconds: in which to be done; sizes that would take longer are not begun.
        send: takes the points.
    """
    deadline = time.monotonic() + seconds
    prepare_child()
    with torch.no_grad(), sdpa_kernel(list(variant.attention), set_priority=True):
        try:
            with tempfile.TemporaryDirectory(dir=setting.folder) as folder:
                ask = make(setting, name, variant, Path(folder))
                inputs = FreshInputs(contract_of(name), setting.device)
                found = compared(setting, name, variant, ask)
                ms_per_image = 0.0  # as far as is known
                for batch in variant.batches(setting.batches, setting.tiny):
                    point = Point(name, variant.name, batch)
                    rounds = setting.warm_up + 1 + setting.rounds[0]
                    if time.monotonic() + rounds * batch * ms_per_image / 1e3 > deadline:
                        point = replace(point, finding=NO_TIME)
                    else:
                        point = measure_point(setting, point, ask, inputs, found)
                    ms_per_image = point.ms_per_image or ms_per_image
                    send(point)
        except Exception as error:  # every form raises types of its own; whatever it is concerns all batches
            for batch in variant.batches(setting.batches, setting.tiny):
                send(finding(Point(name, variant.name, batch), error))


def make(setting: Setting, name: str, variant: Variant, folder: Path) -> Ask:
    """Put the network on the device, cast and change it, and give it its form."""
    network = built(name, setting.tiny).to(setting.device)
    if variant.precision != "fp32" and isinstance(network, Castable):
        network.cast_weights(PRECISIONS[variant.precision])
    for change in variant.changes:
        change(network)
    return variant.runner(network, contract_of(name), folder)


def compared(setting: Setting, name: str, variant: Variant, ask: Ask) -> list[Measurement]:
    """The gate's measures; none where memory is too small for the reference's batch.

    On a GPU PyTorch rounds what float32 convolutions multiply to TF32, as many bits as float16 has, so that its
    float32 is held to the limits of half precision.
    """
    rounded = setting.device.type == "cuda" and torch.backends.cudnn.allow_tf32
    precision = "fp16" if rounded and variant.precision == "fp32" else variant.precision
    try:
        return compare_with_reference(ask, setting.reference(name), contract_of(name), precision, setting.device)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return []


def measure_point(setting: Setting, point: Point, ask: Ask, inputs: FreshInputs, found: Sequence[Measurement]) -> Point:
    """Time batches of fresh inputs, and take the median."""
    device, batch = setting.device, point.batch
    try:
        forget(device)

        def once() -> float:
            fresh = inputs.draw(batch)
            return milliseconds(device, lambda: ask(fresh))

        for _ in range(setting.warm_up):
            once()
        fewest, most = setting.rounds
        estimate = once() / 1e3
        rounds = max(fewest, min(most, int(TIMED / estimate)))
        times = [once() for _ in range(rounds)]
    except Exception as error:
        return finding(point, error)
    return replace(
        point,
        ms_per_image=statistics.median(times) / batch,
        memory_mb=memory_mb(device),
        parity=worst(list(found)),
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
