"""What networks cost on one GPU in every form, or the whole service on it; what does not fit the time is listed."""

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.measure import Setting
from benchmarks.gpu.page import IDEAL_MS, STRETCH_MS, TARGET_MS, write_page
from benchmarks.gpu.plan import RECIPES, VARIANTS, Plan, plan_of
from benchmarks.gpu.results import Results, continue_results, read_results
from benchmarks.gpu.session import measure_all
from benchmarks.rig.report import Figure, Parser, machine, names, number, several, show
from contract.command import INTERRUPTED

# What libraries ask while they are imported must not start CUDA here: a forked child could not use it any more.
ENVIRONMENT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "HF_HUB_OFFLINE": "1"}
ENVIRONMENT |= {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
RESULTS = Path("out/gpu/results.json")
BATCHES, TINY_BATCHES = (8, 16, 1, 32, 4, 2), (2, 1)
MINUTES, SERVICE_MINUTES, TINY_MINUTES = 8.0, 9.0, 12.0
PHOTOS, TINY_PHOTOS = 512, 24


def main(arguments: Sequence[str]) -> int:
    """Measure; return 0, or 1 when a dry run has found a fault. Raises BenchmarkError: nothing can be measured."""
    options = parse_arguments(arguments)
    os.environ.update(ENVIRONMENT)
    command = shlex.join(["python", "-m", "benchmarks", "gpu", *arguments])
    plan = plan_of(options.networks, options.variants)
    try:
        if options.minutes == 0:
            results = read_results(options.json)
        else:
            results = continue_results(options.json, machine(), options.dry_run)
            results = replace(results, commands=tuple(dict.fromkeys((*results.commands, command))))
            with tempfile.TemporaryDirectory(prefix="relight-gpu-") as folder:
                results = measure(options, plan, results, Path(folder))
        if options.page is not None:
            write_page(options.page, results)
    except KeyboardInterrupt:
        print(f"Interrupted; {options.json} holds what was measured.", file=sys.stderr)
        return INTERRUPTED
    if figures := figures_of(results):
        print()
        show("One GPU, dry run on a CPU" if results.dry_run else "One GPU", figures, None)
    missing = sum(point.ms_per_image is None for point in results.points)
    print(f"\n{options.json}: {len(results.points) - missing} points, {missing} findings; logs beside it")
    if options.page is not None:
        print(f"{options.page}: the page")
    if not options.dry_run or options.service or options.minutes == 0:
        return 0
    return conclude_rehearsal(plan, options.batches, results)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; what cannot be exits as argparse does."""
    json = f"results, added to what is there (default: {RESULTS})"
    line = Parser("gpu", str(__doc__), "--dry-run --networks sam3 --variants 'eager fp16,TorchScript fp16'", json=json)
    add = line.add_argument
    add("--dry-run", action="store_true", help="rehearse with tiny networks on the CPU")
    add("--service", action="store_true", help="the embedded server and the client instead of networks")
    text = f"time to take (default: {MINUTES:g}; in a dry run at most {TINY_MINUTES:g}); 0 only fills the page"
    add("--minutes", type=float, metavar="M", help=text)
    add("--networks", type=names(RECIPES), default=(), metavar="A,B", help=", ".join(RECIPES))
    add("--variants", type=names(VARIANTS), default=(), metavar="A,B", help=", ".join(VARIANTS))
    text = "in this order; answers are compared at the first (default: 8,16,1,32,4,2)"
    add("--batches", type=several(number(int)), metavar="N,M", help=text)
    add("--photos", type=number(int), metavar="N", help=f"of --service (default: {PHOTOS})")
    add("--page", type=Path, metavar="FILE", help="fill this page from the results, such as benchmarks/GPU.md")
    text = "spawn builds every network again in each process: slow, for a PyTorch whose forks do not reach the GPU"
    add("--start-method", choices=("fork", "spawn"), default="fork", help=text)
    options = line.parse_args(arguments)
    if options.minutes is None:
        options.minutes = SERVICE_MINUTES if options.service else TINY_MINUTES if options.dry_run else MINUTES
    options.batches = options.batches or (TINY_BATCHES if options.dry_run else BATCHES)
    options.photos = options.photos or (TINY_PHOTOS if options.dry_run else PHOTOS)
    options.json = options.json or RESULTS.with_name("dry-run.json" if options.dry_run else RESULTS.name)
    return options


def measure(options: argparse.Namespace, plan: Plan, results: Results, folder: Path) -> Results:
    """Measure the networks, or the service, saving after each piece."""
    deadline = time.monotonic() + 60.0 * options.minutes
    setting = Setting(options.dry_run, options.batches, folder, options.json.parent / "logs", options.start_method)
    if not options.service:
        return measure_all(setting, plan, deadline, results, lambda known: known.save(options.json))
    from benchmarks.gpu.service import measure_service  # Triton is only needed here

    return measure_service(setting, options.photos, deadline, results, lambda known: known.save(options.json))


def conclude_rehearsal(plan: Plan, batches: Sequence[int], results: Results) -> int:
    """Say which pairs of a dry run did not run, and which could not here; return 1 if any of the former, else 0."""
    for network, variant in plan:
        lacks = [one.finding for one in results.at(network, variant.name).values() if one.unavailable]
        if lacks:
            print(f"Cannot be rehearsed on this machine: {network}, {variant.name}: {lacks[0]}")
    failed = not_rehearsed(plan, batches, results)
    for sentence in failed:
        print(f"Failed: {sentence}", file=sys.stderr)
    passed = len(plan) - len(failed)
    print(f"{passed} of {len(plan)} pairs of a network and a variant passed or need another machine.")
    return 1 if failed else 0


def not_rehearsed(plan: Plan, batches: Sequence[int], results: Results) -> list[str]:
    """A sentence for each planned pair that did not run at all of its batch sizes, or not as the gate wants it.

    What the machine lacks for a variant is no failure of it.
    """
    gate, sentences = {True: "", False: "is refused by the gate", None: "was not compared"}, []
    for network, variant in plan:
        points, faults = results.at(network, variant.name), []
        for batch in variant.batches(batches, tiny=True):
            point = points.get(batch)
            fault = "was not begun" if point is None else point.finding or gate[point.faithful]
            if fault and not (point and point.unavailable):
                faults.append(f"batch {batch} {fault}")
        if faults:
            sentences.append(f"{network}, {variant.name}: {', '.join(faults)}")
    return sentences


def figures_of(results: Results) -> list[Figure]:
    """The chip, the fastest faithful variant of each network, and the service."""
    figures = []
    if results.chip is not None:
        figures.append(Figure("matrix product", results.chip.peak, "TFLOP/s", "-"))
        figures.append(Figure("copy on the device", results.chip.copy, "GB/s", "-"))
    for name in results.networks:
        faithful = [one for one in results.points if one.network == name and one.ms_per_image and one.faithful]
        if not faithful:
            continue
        best = min(faithful, key=lambda one: one.ms_per_image or 0.0)
        full_size = name == "sam3" and not results.dry_run
        aim = f"{IDEAL_MS:g}, target {TARGET_MS:g}, stretch {STRETCH_MS:g}" if full_size else "-"
        figures.append(Figure(f"{name}, {best.variant}, batch {best.batch}", best.ms_per_image or 0.0, "ms/image", aim))
        figures.append(Figure(f"{name}, share of the matrix product", results.share(best) or 0.0, "ratio", "1.00"))
    if results.service is not None:
        together = 1e3 / sum(results.service.alone_ms.values())
        speed = results.service.images_per_second
        figures.append(Figure("the whole service", speed, "images/s", f"{together:.2f}"))
        figures.append(Figure("service ÷ its networks one after another", speed / together, "ratio", "1.00"))
    return figures
