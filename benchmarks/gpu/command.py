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
from benchmarks.gpu.page import IDEAL_MS, STRETCH_MS, TARGET_MS, closing, write_page
from benchmarks.gpu.plan import RECIPES, TRIALS, VARIANTS, Plan, plan_of
from benchmarks.gpu.results import Results, continue_results, read_results
from benchmarks.gpu.session import measure_all
from benchmarks.rig.report import BenchmarkError, Figure, Parser, machine, names, number, several, show
from contract.command import INTERRUPTED

# What libraries ask while they are imported must not start CUDA here: a forked child could not use it any more.
ENVIRONMENT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "HF_HUB_OFFLINE": "1"}
ENVIRONMENT |= {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
RESULTS = Path("out/gpu/results.json")
NETWORKS, SERVICE = PARTS = ("networks", "service")
BATCHES, TINY_BATCHES = (16, 8, 1, 32), (2, 1)
MINUTES, TINY_MINUTES = 12.5, 16.0
SERVICE_SHARE = 0.36  # of the time, for the service
PHOTOS, TINY_PHOTOS = 512, 12
WINDOWS, TINY_WINDOWS = (0, 256), (0,)


def main(arguments: Sequence[str]) -> int:
    """Measure; return 0, or 1 when a dry run has found a fault. Raises BenchmarkError: nothing can be measured."""
    options = parse_arguments(arguments)
    os.environ.update(ENVIRONMENT)
    if options.dry_run:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    command = shlex.join(["python", "-m", "benchmarks", "gpu", *arguments])
    plan, fault = plan_of(options.networks, options.variants), ""
    try:
        if options.minutes == 0:
            results = read_results(options.json)
        else:
            results = continue_results(options.json, machine(), options.dry_run)
            results = replace(results, commands=tuple(dict.fromkeys((*results.commands, command))))
            # Beside what is kept, of which the service's repository has links.
            with tempfile.TemporaryDirectory(prefix="running-", dir=folder_of(options)) as folder:
                results, fault = measure(options, plan, results, Path(folder))
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
    failed = False
    if options.dry_run and NETWORKS in options.parts and options.minutes:
        failed = conclude_rehearsal(plan, options.batches, results)
    if fault:
        print(fault, file=sys.stderr)
    print(f"\n{closing(results)}")
    return 1 if fault or failed else 0


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; what cannot be exits as argparse does."""
    json = f"results, added to what is there (default: {RESULTS})"
    line = Parser("gpu", str(__doc__), "--dry-run --networks sam3 --variants 'eager fp32,TorchScript fp16'", json=json)
    add = line.add_argument
    add("--dry-run", action="store_true", help="rehearse with tiny networks on the CPU")
    text = "measure the networks, or serve those that were measured and kept (default: both)"
    add("--parts", type=names(PARTS), default=PARTS, metavar="A,B", help=text)
    text = f"time to take (default: {MINUTES:g}; in a dry run at most {TINY_MINUTES:g}); 0 only fills the page"
    add("--minutes", type=float, metavar="M", help=text)
    add("--networks", type=names(RECIPES), default=(), metavar="A,B", help=", ".join(RECIPES))
    add("--variants", type=names(VARIANTS), default=(), metavar="A,B", help=", ".join(VARIANTS))
    text = "measure these batch sizes, in this order (default: 16,8,1,32)"
    add("--batches", type=several(number(int)), metavar="N,M", help=text)
    add("--profile", action="store_true", help="list the kernels of each variant too, in profiles/ beside the results")
    add("--photos", type=number(int), metavar="N", help=f"of each of the service's runs (default: {PHOTOS})")
    text = f"start the server in these ways (default: all): {', '.join(TRIALS)}"
    add("--trials", type=names(TRIALS), default=tuple(TRIALS), metavar="A,B", help=text)
    text = "run the client with each of these windows, 0 for its own choice (default: 0,256)"
    add("--windows", type=several(number(int, -1)), metavar="N,M", help=text)
    text = "further arguments of tritonserver, in one word: --server-arguments='--a=1 --b=2'"
    add("--server-arguments", type=shlex.split, default=[], metavar="WORDS", help=text)
    add("--page", type=Path, metavar="FILE", help="fill this page from the results, such as benchmarks/GPU.md")
    text = "spawn imports everything again in each process: slow, for a PyTorch whose forks do not reach the GPU"
    add("--start-method", choices=("fork", "spawn"), default="fork", help=text)
    options = line.parse_args(arguments)
    if options.minutes is None:
        options.minutes = TINY_MINUTES if options.dry_run else MINUTES
    options.batches = options.batches or (TINY_BATCHES if options.dry_run else BATCHES)
    options.photos = options.photos or (TINY_PHOTOS if options.dry_run else PHOTOS)
    options.windows = options.windows or (TINY_WINDOWS if options.dry_run else WINDOWS)
    options.json = options.json or RESULTS.with_name("dry-run.json" if options.dry_run else RESULTS.name)
    return options


def folder_of(options: argparse.Namespace) -> Path:
    """Where files, logs and profiles are kept."""
    folder: Path = options.json.parent / "dry-run" if options.dry_run else options.json.parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def measure(options: argparse.Namespace, plan: Plan, results: Results, folder: Path) -> tuple[Results, str]:
    """Measure the networks, then the service, saving after each piece; return why the service did not run, or ""."""
    deadline = time.monotonic() + 60.0 * options.minutes
    setting = Setting(
        options.dry_run, options.batches, folder, folder_of(options), options.profile, options.start_method
    )

    def keep(known: Results) -> None:
        known.save(options.json)

    if NETWORKS in options.parts:
        share = SERVICE_SHARE if SERVICE in options.parts else 0.0
        results = measure_all(setting, plan, deadline - 60.0 * options.minutes * share, results, keep)
    if SERVICE in options.parts:
        from benchmarks.gpu.service import Load, measure_service  # Triton is only needed here

        load = Load(options.photos, options.trials, options.windows, options.server_arguments, options.variants)
        try:
            results = measure_service(setting, load, deadline, results, keep)
        except BenchmarkError as error:
            return results, str(error)
    return results, ""


def conclude_rehearsal(plan: Plan, batches: Sequence[int], results: Results) -> bool:
    """Say which pairs of a dry run did not run, and which could not here; return whether any of the former exist."""
    for network, variant in plan:
        lacks = [one.finding for one in results.at(network, variant.name).values() if one.unavailable]
        if lacks:
            print(f"Cannot be rehearsed on this machine: {network}, {variant.name}: {lacks[0]}")
    failed = not_rehearsed(plan, batches, results)
    for sentence in failed:
        print(f"Failed: {sentence}", file=sys.stderr)
    passed = len(plan) - len(failed)
    print(f"{passed} of {len(plan)} pairs of a network and a variant passed or need another machine.")
    return bool(failed)


def not_rehearsed(plan: Plan, batches: Sequence[int], results: Results) -> list[str]:
    """A sentence for each planned pair that did not run at all of its batch sizes, or not as the gate wants it.

    What the machine lacks for a variant is no failure of it.
    """
    gate, sentences = {True: "", False: "is refused by the gate", None: "was not compared"}, []
    for network, variant in plan:
        points, faults = results.at(network, variant.name), []
        for batch in variant.batches(batches):
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
    if results.best is not None:
        speed, together = results.best.images_per_second, results.best.together
        figures.append(Figure(f"the whole service, {results.best.trial}", speed, "images/s", f"{together:.2f}"))
        figures.append(Figure("service ÷ its networks one after another", speed / together, "ratio", "1.00"))
    return figures
