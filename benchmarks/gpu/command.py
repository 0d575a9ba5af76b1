"""`python -m benchmarks gpu`: what the networks and the whole service cost on one GPU."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.errors import CannotMeasureError
from benchmarks.gpu.options import parse_arguments
from benchmarks.gpu.page import write_page
from benchmarks.gpu.plan import Plan, not_rehearsed, plan_of, unavailable
from benchmarks.gpu.predictions import IDEAL_MS, STRETCH_MS, TARGET_MS
from benchmarks.gpu.results import Results, continue_results, read_results
from benchmarks.gpu.session import measure_all
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.variants import ORDER, VARIANTS
from benchmarks.report import Figure, machine, show

# What libraries ask while they are imported must not start CUDA here: a forked child could not use it any more.
ENVIRONMENT = {
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
}


def main(arguments: Sequence[str]) -> int:
    """Measure; return 0, or 1 with a sentence when nothing can be measured or a dry run has found a fault."""
    options = parse_arguments(arguments)
    os.environ.update(ENVIRONMENT)
    command = shlex.join(["python", "-m", "benchmarks", "gpu", *arguments])
    plan = plan_of(ORDER, VARIANTS, options.networks, options.variants)
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
    except CannotMeasureError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted; {options.json} holds what was measured.", file=sys.stderr)
        return 130
    conclude(options, results)
    if not options.dry_run or options.service or options.minutes == 0:
        return 0
    return conclude_rehearsal(plan, options.batches, results)


def measure(options: argparse.Namespace, plan: Plan, results: Results, folder: Path) -> Results:
    """Measure the networks, or the service, saving after each piece."""
    deadline = time.monotonic() + 60.0 * options.minutes
    logs = options.json.parent / "logs"
    setting = Setting(options.dry_run, options.batches, folder, logs, options.start_method)

    def keep(known: Results) -> None:
        known.save(options.json)

    if not options.service:
        return measure_all(setting, plan, deadline, results, keep)
    from benchmarks.gpu.service import measure_service  # Triton is only needed here

    return measure_service(setting, options.photos, deadline, results, keep)


def conclude(options: argparse.Namespace, results: Results) -> None:
    """Print the figures that the targets are about, and where the rest is."""
    if figures := figures_of(results):
        print()
        show("One GPU, dry run on a CPU" if results.dry_run else "One GPU", figures, None)
    missing = sum(point.ms_per_image is None for point in results.points)
    print(f"\n{options.json}: {len(results.points) - missing} points, {missing} findings; logs beside it")
    if options.page is not None:
        print(f"{options.page}: the page")


def conclude_rehearsal(plan: Plan, batches: Sequence[int], results: Results) -> int:
    """Say which pairs of a dry run did not run, and which could not here; return 1 if any of the former, else 0."""
    for sentence in unavailable(plan, results):
        print(f"Cannot be rehearsed on this machine: {sentence}")
    failed = not_rehearsed(plan, batches, results)
    for sentence in failed:
        print(f"Failed: {sentence}", file=sys.stderr)
    print(f"{len(plan) - len(failed)} of {len(plan)} pairs of a network and a variant passed or need another machine.")
    return 1 if failed else 0


def figures_of(results: Results) -> list[Figure]:
    """The chip, each network at its fastest, and the service."""
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
