"""Measures everything in turn, each piece in a process of its own, until all is done or the time is up."""

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch._inductor import config as compiler

from benchmarks import CORES
from benchmarks.gpu import forms
from benchmarks.gpu.chip import measure_chip
from benchmarks.gpu.measure import NO_TIME, Send, Setting, measure_reference, measure_variant, write_file
from benchmarks.gpu.memory import largest_batches
from benchmarks.gpu.plan import SERVED, VARIANTS, Plan, Variant, prepare
from benchmarks.gpu.results import Chip, NetworkFacts, Point, Results
from benchmarks.rig.report import BenchmarkError

CHIP_SECONDS = 60.0
PREPARING = 0.6  # of the time, at most, for references and files
LEAST_SECONDS = 10.0  # that must be left for a variant to be worth beginning at full size
JOBS = 8  # processes at most that write files at a time: each may take 8 GB of the GPU's memory
TINY_PATIENCE = 3.0  # times the seconds of a variant: in a dry run on cores that others use too
END_SECONDS = 5.0  # that a process whose work is done may take to end
Keep = Callable[[Results], None]  # is given all results so far after each piece, so that nothing is lost
Key = TypeVar("Key")


class Isolated:
    """A child process.

    A forked one finds what this process has imported. It can use a GPU only if this process never did, and threads only
    if this process's libraries have started none.
    """

    def __init__(self, setting: Setting, work: Callable[[Send], None], log: Path, jobs: int = 1) -> None:
        """Start it. What `work` prints goes to `log`; `jobs` such processes share the cores."""
        context: Any = multiprocessing.get_context(setting.start)  # its stub knows no Process
        self.receiver, sender = context.Pipe(duplex=False)
        self.process, self.log = context.Process(target=_enter, args=(work, sender, log, max(1, CORES // jobs))), log
        self.sent: list[Any] = []  # by the function that `work` is given
        self.started = time.monotonic()
        self.process.start()
        sender.close()

    def is_done(self) -> bool:
        """Take what was sent, when there is something to be read: False, or True once it has closed its end."""
        try:
            self.sent.append(self.receiver.recv())
        except EOFError:
            return True
        return False

    def end(self, in_time: bool) -> str:
        """Kill it and all that it started, at once unless it is done `in_time`; what ended it early, else ""."""
        self.process.join(END_SECONDS if in_time else 0.0)
        with suppress(ProcessLookupError, PermissionError):  # compilers that it started may outlive it
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        code = self.process.exitcode
        if not in_time:
            return f"stopped after {time.monotonic() - self.started:.0f} s"
        if code == 0:
            return ""
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        words = self.log.read_text("utf-8", "replace").strip().splitlines() if self.log.exists() else []
        return f"the process ended with {how}" + (f": {words[-1][:200]}" if words else "")


def run_isolated(setting: Setting, work: Callable[[Send], None], seconds: float, log: Path) -> tuple[list[Any], str]:
    """Run a work in a process until it ends, or for `seconds`; what it sent, and what ended it early, else ""."""
    ((_, sent, fault),) = at_once(setting, [(None, work, log)], 1, time.monotonic() + seconds)
    return sent, fault


def at_once(
    setting: Setting, works: Iterable[tuple[Key, Callable[[Send], None], Path]], jobs: int, deadline: float
) -> Iterator[tuple[Key, list[Any], str]]:
    """Run works, each with a key and a log, in `jobs` processes at a time until all are done, or `deadline`.

    Yields, as they end, each one's key, what it sent, and what ended it early, else "".
    """
    waiting, running = deque(works), dict[Connection, tuple[Key, Isolated]]()
    try:
        while running or (waiting and left(deadline) > 0):
            while waiting and len(running) < jobs:
                key, work, log = waiting.popleft()
                process = Isolated(setting, work, log, jobs)
                running[process.receiver] = (key, process)
            ready = cast(list[Connection], wait(list(running), max(0.0, left(deadline))))
            for receiver in ready or list(running):
                key, process = running[receiver]
                if not ready or process.is_done():
                    del running[receiver]
                    yield key, process.sent, process.end(in_time=bool(ready))
        yield from ((key, [], NO_TIME) for key, _, _ in waiting)
    finally:  # after Ctrl-C too, which the children's sessions do not get
        for _, process in running.values():
            process.end(in_time=False)


def _enter(work: Callable[[Send], None], sender: Connection, log: Path, threads: int) -> None:
    """What the child does: redirect what it prints, work on its cores, and end without this process's tidying up."""
    os.setsid()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    torch.set_num_threads(threads)  # its parent keeps to one thread, since threads do not survive a fork
    compiler.compile_threads = max(1, CORES // 4)  # a compiler's processes: most of its time is one thread's
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
    prepare()
    networks, faults = write_all(setting, plan, time.monotonic() + PREPARING * left(deadline))
    results = replace(results, networks={**results.networks, **networks})
    for name, variant in plan:
        points = faults.get((name, variant.name)) or ask_variant(setting, name, variant, deadline)
        results = results.with_points(points)
        results = replace(results, largest=safe_batches(results))
        keep(results)
    return results


def ask_chip(setting: Setting) -> Chip:
    """Measure the ceilings."""
    log = setting.log("chip")
    sent, fault = run_isolated(setting, partial(measure_chip, setting.tiny, setting.device), CHIP_SECONDS, log)
    if sent and isinstance(sent[0], BenchmarkError):
        raise sent[0]
    if not sent:
        raise BenchmarkError(f"The chip could not be measured ({fault}); {log} holds what was said.")
    chip: Chip = sent[0]
    print(f"{chip.name}: fp16 {chip.fp16:.3g} TFLOP/s, bf16 {chip.bf16:.3g}, copy {chip.copy:.4g} GB/s", flush=True)
    return chip


def write_all(
    setting: Setting, plan: Plan, deadline: float
) -> tuple[dict[str, NetworkFacts], dict[tuple[str, str], list[Point]]]:
    """Ask every network in float32, and write every variant's file, many at a time: compilers leave the GPU idle.

    Returns the networks' sizes, and the findings of the variants that could not be written.
    """
    started = time.monotonic()
    works: list[tuple[tuple[str, str], Callable[[Send], None], Path]] = []
    for name in dict.fromkeys(name for name, _ in plan):
        works.append(((name, ""), partial(measure_reference, setting, name), setting.log(name, "reference")))
    # Without references and the files that are quickly written nothing is worth much.
    for name, variant in sorted(plan, key=lambda pair: pair[1].form is not forms.TORCHSCRIPT):
        shutil.rmtree(setting.kept(name, variant.name), ignore_errors=True)
        if variant.form is not None:
            log = setting.log(name, variant.name)
            works.append(((name, variant.name), partial(write_file, setting, name, variant), log))
    networks: dict[str, NetworkFacts] = {}
    faults: dict[tuple[str, str], list[Point]] = {}
    for (name, written), sent, fault in at_once(setting, works, min(JOBS, CORES), deadline):
        told = f"{time.monotonic() - started:.0f} s: {name}, {written or 'reference'}: "
        if not written and sent:
            facts = networks[name] = sent[0]
            size = f"{facts.parameters / 1e6:.4g} M parameters, {facts.flops / 1e12:.3g} TFLOP an image"
            print(told + size, flush=True)
        elif sent and not isinstance(sent[0], Point):
            print(f"{told}written in {sent[0]:.0f} s", flush=True)
        else:
            one = sent[0] if sent else Point(name, written, 0, finding=fault or NO_TIME)
            print(f"{told}{one.finding}", flush=True)
            batches = VARIANTS[written].batches(setting.batches) if written else ()
            faults[name, written] = [replace(one, batch=batch) for batch in batches]
    return networks, faults


def ask_variant(setting: Setting, name: str, variant: Variant, deadline: float) -> list[Point]:
    """Measure a network in a variant; sizes without a number have a finding."""
    batches, started = variant.batches(setting.batches), time.monotonic()
    seconds = min(variant.seconds * (TINY_PATIENCE if setting.tiny else 1.0), left(deadline) - END_SECONDS)
    if seconds < (0.0 if setting.tiny else LEAST_SECONDS):
        return [Point(name, variant.name, batch, finding=NO_TIME) for batch in batches]
    work = partial(measure_variant, setting, name, variant, seconds)
    sent, fault = run_isolated(setting, work, seconds + END_SECONDS, setting.log(name, variant.name))
    points = {batch: Point(name, variant.name, batch, finding=fault or NO_TIME) for batch in batches}
    points.update({point.batch: point for point in sent})
    told = [f"batch {batch} {one.finding or f'{one.ms_per_image:.4g} ms'}" for batch, one in sorted(points.items())]
    refused = " (the gate refuses it)" if any(one.faithful is False for one in points.values()) else ""
    print(f"{name}, {variant.name}, {time.monotonic() - started:.0f} s{refused}: {', '.join(told)}", flush=True)
    return list(points.values())


def safe_batches(results: Results, among: Collection[str] = ()) -> dict[str, int]:
    """The largest batch of each served network that fits beside the others, as Results.to_serve chooses them."""
    memory = {}
    for name in SERVED.values():
        variant = results.to_serve(name, among)
        points = results.at(name, variant).values() if variant else ()
        memory[name] = {one.batch: one.memory_mb for one in points if one.memory_mb and one.faithful}
    if results.chip is None or not all(memory.values()):
        return {}
    return largest_batches(memory, results.chip.memory_mb)


def left(deadline: float) -> float:
    """Seconds until then."""
    return deadline - time.monotonic()
