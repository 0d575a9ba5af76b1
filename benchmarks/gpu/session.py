"""Measures everything in turn, each piece in a process of its own, until all is done or the time is up."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from benchmarks import CORES
from benchmarks.gpu.measure import NO_TIME, Send, Setting, measure_chip, measure_reference, measure_variant
from benchmarks.gpu.plan import Plan, Variant, built
from benchmarks.gpu.results import Chip, NetworkFacts, Point, Results
from benchmarks.rig.report import BenchmarkError

CHIP_SECONDS, REFERENCE_SECONDS = 60.0, 120.0
Keep = Callable[[Results], None]  # is given all results so far after each piece, so that nothing is lost
END_SECONDS = 5.0  # that a process whose work is done may take to end


def run_isolated(setting: Setting, work: Callable[[Send], None], seconds: float, log: Path) -> tuple[list[Any], str]:
    """Run `work` in a child process until it ends, or for `seconds`, then kill it and all that it started.

    A forked child finds what this process has imported and built. It can use a GPU only if this process never did,
    and threads only if this process's libraries have started none. What it prints goes to `log`.

    Returns what it sent by the function that it is given, and what ended it early, "" if nothing did.
    """
    context: Any = multiprocessing.get_context(setting.start)  # its stub knows no Process
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_enter, args=(work, sender, log))
    process.start()
    sender.close()
    sent: list[Any] = []
    deadline = time.monotonic() + seconds
    try:
        with suppress(EOFError):  # it has closed its end
            while receiver.poll(max(0.0, deadline - time.monotonic())):
                sent.append(receiver.recv())
        in_time = time.monotonic() < deadline
        process.join(END_SECONDS if in_time else 0.0)
    finally:  # after Ctrl-C too, which the child's session does not get
        with suppress(ProcessLookupError, PermissionError):  # compilers that it started may outlive it
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()
        process.join()
    code = process.exitcode
    if not in_time:
        return sent, f"stopped after {seconds:.0f} s"
    if code == 0:
        return sent, ""
    how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
    words = log.read_text("utf-8", "replace").strip().splitlines() if log.exists() else []
    return sent, f"the process ended with {how}" + (f": {words[-1][:200]}" if words else "")


def _enter(work: Callable[[Send], None], sender: Connection, log: Path) -> None:
    """What the child does: redirect what it prints, work on all cores, and end without this process's tidying up."""
    os.setsid()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    torch.set_num_threads(CORES)  # its parent keeps to one thread, since threads do not survive a fork
    work(sender.send)
    sender.close()


def measure_all(setting: Setting, plan: Plan, deadline: float, results: Results, keep: Keep) -> Results:
    """Measure the chip and the plan, network by variant; add to the `results` that are known.

    `deadline` is on the monotonic clock: what would begin later is a finding.

    Raises BenchmarkError: there is no GPU, it does not even multiply two matrices, or the results are of another.
    """
    torch.set_num_threads(1)  # a pool of threads would not survive the forks
    results = results.with_chip(ask_chip(setting))
    keep(results)
    asked: set[str] = set()  # a reference that failed would fail again, and take its time for each variant
    for name, variant in plan:
        if name not in asked and left(deadline) > variant.least:
            asked.add(name)
            results = replace(results, networks={**results.networks, **ask_reference(setting, name, deadline)})
        results = results.with_points(ask_variant(setting, name, variant, deadline))
        keep(results)
    return results


def ask_chip(setting: Setting) -> Chip:
    """Measure the ceilings."""
    log = setting.log("chip")
    sent, fault = run_isolated(setting, partial(measure_chip, setting), CHIP_SECONDS, log)
    if sent and isinstance(sent[0], BenchmarkError):
        raise sent[0]
    if not sent:
        raise BenchmarkError(f"The chip could not be measured ({fault}); {log} holds what was said.")
    chip: Chip = sent[0]
    print(f"{chip.name}: fp16 {chip.fp16:.3g} TFLOP/s, bf16 {chip.bf16:.3g}, copy {chip.copy:.4g} GB/s", flush=True)
    return chip


def ask_reference(setting: Setting, name: str, deadline: float) -> dict[str, NetworkFacts]:
    """Build a network here, for all children, and ask it in float32 in one of them."""
    started = time.monotonic()
    if setting.start == "fork":
        built(name, setting.tiny)
    seconds, work = min(REFERENCE_SECONDS, left(deadline)), partial(measure_reference, setting, name)
    sent, fault = run_isolated(setting, work, seconds, setting.log(name, "reference"))
    if not sent:
        print(f"{name}: no reference, {fault}", flush=True)
        return {}
    facts: NetworkFacts = sent[0]
    size = f"{facts.parameters / 1e6:.4g} M parameters, {facts.flops / 1e12:.3g} TFLOP an image"
    print(f"{name}: {size}, ready after {time.monotonic() - started:.0f} s", flush=True)
    return {name: facts}


def ask_variant(setting: Setting, name: str, variant: Variant, deadline: float) -> list[Point]:
    """Measure a network in a variant; sizes without a number have a finding."""
    batches, started = variant.batches(setting.batches, setting.tiny), time.monotonic()
    seconds = min(variant.seconds, left(deadline) - END_SECONDS)
    if seconds < (0.0 if setting.tiny else variant.least):
        return [Point(name, variant.name, batch, finding=NO_TIME) for batch in batches]
    work = partial(measure_variant, setting, name, variant, seconds)
    sent, fault = run_isolated(setting, work, seconds + END_SECONDS, setting.log(name, variant.name))
    points = {batch: Point(name, variant.name, batch, finding=fault or NO_TIME) for batch in batches}
    points.update({point.batch: point for point in sent})
    told = [f"batch {batch} {one.finding or f'{one.ms_per_image:.4g} ms'}" for batch, one in sorted(points.items())]
    print(f"{name}, {variant.name}, {time.monotonic() - started:.0f} s: {', '.join(told)}", flush=True)
    return list(points.values())


def left(deadline: float) -> float:
    """Seconds until then."""
    return deadline - time.monotonic()
