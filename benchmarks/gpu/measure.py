"""Measures a network's reference in strict float32, and its variants; each runs in a process of its own."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import forms, kernels
from benchmarks.gpu.chip import WARM_UP, memory_mb, milliseconds
from benchmarks.gpu.plan import Draw, Variant, built, contract_of, fresh_inputs, parameters
from benchmarks.gpu.results import NetworkFacts, Point
from export.check.gate import Measurement, Precision
from export.check.gate import measure as compare
from export.check.reference import Reference
from export.errors import ExportError
from export.tensors import Runtime, example_inputs

ROWS = 3  # of the reference: fewer than batches have, so that every place of a batch meets each of them
TIMED = 2.0  # seconds that the rounds of a point take together, where that makes more than the fewest
FEWEST, MOST, TINY = 3, 20, 1  # rounds whose median counts; in a dry run
NO_TIME = "not measured: no time was left"

Send = Callable[[Any], None]


@dataclass(frozen=True)
class Setting:
    """Where and how is measured."""

    tiny: bool  # a dry run: networks a few channels wide, on the CPU
    batches: tuple[int, ...]  # in the order in which they are measured
    folder: Path  # of files that need not be kept
    out: Path  # of what is kept: the networks' files, what processes print, profiles
    profile: bool = False  # whether the kernels of each variant are listed, at its first batch size
    start: str = "fork"  # or spawn: how child processes are started

    @property
    def device(self) -> torch.device:
        """The one GPU, or the CPU in a dry run."""
        return torch.device("cpu") if self.tiny else torch.device("cuda", 0)

    def reference(self, network: str) -> Path:
        """The file of a network's answers in float32."""
        return self.folder / f"{network}.reference.pt"

    def kept(self, network: str, variant: str) -> Path:
        """The folder of a network's file, which the service takes."""
        return self.out / "kept" / named(network, variant)

    def log(self, *names: str) -> Path:
        """A file for what a process prints."""
        return self.out / "logs" / f"{named(*names)}.log"


def named(*names: str) -> str:
    """Names as that of a file."""
    return "-".join(names).replace(",", "").replace(" ", "-")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out; not every runtime has a type of its own for it."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "failed to allocate")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(one in str(error).lower() for one in words)


@torch.no_grad()
def measure_reference(setting: Setting, name: str, send: Send) -> None:
    """Write a network's answers in float32 for ROWS rows, and send its NetworkFacts."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    contract, network = contract_of(name, ROWS), built(name, setting.tiny, setting.device)
    inputs = tuple(value.to(setting.device) for value in example_inputs(contract, ROWS))
    outputs = tuple(answer.clone() for answer in forms.as_tuple(network(*inputs)))
    torch.save((inputs, outputs), setting.reference(name))
    send(NetworkFacts(parameters(network), count_flops(network, tuple(value[:1] for value in inputs))))


def count_flops(network: nn.Module, row: tuple[torch.Tensor, ...]) -> int:
    """Floating-point operations for one row, each operation counted as it runs; attention unfused, that none hides."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(*row)
    return int(counter.get_total_flops())


@torch.no_grad()
def write_file(setting: Setting, name: str, variant: Variant, send: Send) -> None:
    """Write a variant's file into its kept folder and send the seconds that took, or the Point that says why not."""
    started, folder = time.monotonic(), setting.kept(name, variant.name)
    batches = variant.batches(setting.batches)
    try:
        network = built(name, setting.tiny, setting.device)
        forms.cast_to(network, variant.precision)
        torch.cuda.empty_cache()  # others work beside this process
        folder.mkdir(parents=True)
        if variant.form is not None:
            variant.form.write(network, contract_of(name, max(batches)), folder)
    except Exception as error:  # every form raises types of its own
        send(finding(Point(name, variant.name, batches[0]), error))
        return
    send(time.monotonic() - started)


@torch.no_grad()
def measure_variant(setting: Setting, name: str, variant: Variant, seconds: float, send: Send) -> None:
    """Send a Point for each batch size; what prevents one is its finding, and the next is tried.

    `seconds` is the time in which to be done; sizes that would take longer are not begun.
    """
    deadline = time.monotonic() + seconds
    batches, done = variant.batches(setting.batches), 0
    try:
        ask = opened(setting, name, variant)
        contract = contract_of(name, max(batches))
        draw = fresh_inputs(contract, setting.device)
        found = compared(setting, name, variant, ask)
        ms_per_image = 0.0  # as far as is known
        for batch in batches:
            point = Point(name, variant.name, batch, served=variant.form is not None and variant.form.served)
            rounds = WARM_UP + 1 + FEWEST
            if time.monotonic() + rounds * batch * ms_per_image / 1e3 > deadline:
                point = replace(point, finding=NO_TIME)
            else:
                point = measure_point(setting, point, ask, draw, found)
            ms_per_image = point.ms_per_image or ms_per_image
            send(point)
            done += 1
        if setting.profile:
            write_profile(setting, name, variant, ask, draw(batches[0]))
    except Exception as error:  # every form raises types of its own; whatever it is concerns all other batches
        for batch in batches[done:]:
            send(finding(Point(name, variant.name, batch), error))


def opened(setting: Setting, name: str, variant: Variant) -> Runtime:
    """A variant, ready to be asked on the device."""
    if variant.form is not None:
        return variant.form.open(setting.kept(name, variant.name), setting.device)
    network = built(name, setting.tiny, setting.device)
    forms.cast_to(network, variant.precision)
    return forms.eager(network)


def compared(setting: Setting, name: str, variant: Variant, ask: Runtime) -> list[Measurement]:
    """What the gate measures of every row: of files at every batch size up to the largest, else at those measured.

    It ends at the first size that is refused or for which memory is too small. There is nothing without a reference.

    On a GPU PyTorch rounds what float32 convolutions multiply to TF32, as many bits as float16 has, so that its float32
    is held to half precision's limits.
    """
    if not setting.reference(name).exists():
        return []
    rounded = setting.device.type == "cuda" and torch.backends.cudnn.allow_tf32
    limits: Precision = "fp16" if rounded and variant.precision == "fp32" else variant.precision
    reference = Reference(*torch.load(setting.reference(name), map_location=setting.device))
    batches = variant.batches(setting.batches)
    every = variant.form is not None and variant.form.served
    contract, found = contract_of(name, max(batches)), list[Measurement]()
    for size in range(1, max(batches) + 1) if every else sorted(batches):
        try:
            found += compare(reference, ask, contract, [size], limits, random_weights=True)
        except ExportError as error:
            if not out_of_memory(error):
                raise
            break
        if not all(one.passed for one in found):
            break
    return found


def write_profile(
    setting: Setting, name: str, variant: Variant, ask: Runtime, inputs: tuple[torch.Tensor, ...]
) -> None:
    """Write the table of a variant's kernels."""
    ask(inputs)  # what chooses kernels is not to be seen
    text = kernels.table(f"{name}, {variant.name}", lambda: ask(inputs), len(inputs[0]), setting.device)
    folder = setting.out / "profiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{named(name, variant.name)}.txt").write_text(text, "utf-8")


def measure_point(setting: Setting, point: Point, ask: Runtime, draw: Draw, found: Sequence[Measurement]) -> Point:
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
        parity=worst([one for one in found if one.batch <= batch]),
        faithful=verdict(found, batch),
    )


def worst(found: Sequence[Measurement]) -> dict[str, float]:
    """Each measure of each output at the batch size where it is worst, by "OUTPUT measure"."""
    values: dict[str, float] = {}
    for one in found:
        name = f"{one.output} {one.measure}"
        if one.measure != "differing":
            values[name] = (max if one.at_most else min)(values.get(name, one.value), one.value)
    return values


def verdict(found: Sequence[Measurement], batch: int) -> bool | None:
    """Whether all batches of up to `batch` rows pass the gate; None where that size was not compared."""
    smaller = [one for one in found if one.batch <= batch]
    if not all(one.passed for one in smaller):
        return False
    return True if any(one.batch == batch for one in smaller) else None


def finding(point: Point, error: BaseException) -> Point:
    """A point with what stands in the place of its numbers."""
    if out_of_memory(error):
        return replace(point, finding="out of memory")
    first, *_ = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, forms.UnavailableError):
        return replace(point, finding=first[:200], unavailable=True)
    return replace(point, finding=f"fails: {type(error).__name__}: {first[:160]}")
