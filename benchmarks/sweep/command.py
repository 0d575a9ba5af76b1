"""The sweep from its command line to its recommendation."""

from __future__ import annotations

import hashlib
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from tritonclient.utils import InferenceServerException

from benchmarks.perf_analyzer import PerfAnalyzerError, find_perf_analyzer
from benchmarks.report import Figure, machine, show
from benchmarks.sweep.journal import OtherSweepError, check_same, left, read_plan, read_points
from benchmarks.sweep.loading import LoadsRefusedError
from benchmarks.sweep.options import Options, parse_arguments
from benchmarks.sweep.points import ENSEMBLE, Measurement, fastest, measured
from benchmarks.sweep.recommendation import apply, recommend
from benchmarks.sweep.session import SweepError, measure_points, swept_server
from benchmarks.sweep.table import write_csv, write_markdown
from server.installation import ServerError


def main(arguments: Sequence[str]) -> int:
    """Sweep, or go on with a sweep; return 0, 1 when nothing can be measured, 130 when interrupted."""
    options = parse_arguments(arguments)
    try:
        check_tools()
        measurements = sweep(options)
        conclude(options, measurements, shlex.join(["python", "-m", "benchmarks", "sweep", *arguments]))
    except (SweepError, OtherSweepError, LoadsRefusedError, PerfAnalyzerError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except InferenceServerException as error:
        print(f"The server{f' at {options.url}' if options.url else ''} fails: {error.message()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted; the same command goes on with what is in {options.output}.", file=sys.stderr)
        return 130
    return 1 if all(one.finding for one in measurements) else 0


def check_tools() -> None:
    """Find what the end of a sweep needs before its beginning.

    Raises:
        PerfAnalyzerError: there is no perf_analyzer.
        SweepError: there is no matplotlib.
    """
    find_perf_analyzer()
    if importlib.util.find_spec("matplotlib") is None:
        raise SweepError("The plots need matplotlib: run `pip install 'relight-triton[benchmarks]'`.")


def sweep(options: Options) -> list[Measurement]:
    """Measure the points that the output folder does not hold yet, and return all.

    Raises:
        OtherSweepError: the folder holds points measured otherwise.
        SweepError, LoadsRefusedError, ServerError, InferenceServerException: the server cannot be swept.
    """
    settings = describe(options)
    plan = None if options.restart else read_plan(options.output)
    if plan is not None:
        check_same(options.output, "settings", plan.settings, settings)
    # A server that a point brought down is started again for the next.
    while plan is None or left(plan, read_points(options.output)):
        with swept_server(options) as address:
            plan = measure_points(options, settings, plan, address)
    return read_points(options.output)


def describe(options: Options) -> dict[str, Any]:
    """The settings that make a point's numbers."""
    return {
        "models": list(options.models),
        "batches": list(options.batches),
        "concurrency": list(options.concurrency),
        "instances": list(options.instances),
        "photos": {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in options.photos},
        "prompt": options.prompt,
        "measurement requests": options.measurement_requests,
        "perf_analyzer arguments": list(options.extra),
        "gpus": options.gpus,
        "url": options.url,
        "machine": machine(),
    }


def conclude(options: Options, measurements: Sequence[Measurement], command: str) -> None:
    """Write tables and plots, print the figures and the recommendation, and apply it if asked.

    Raises:
        SweepError: nothing can be recommended, but is to be applied.
        ServerError: the repository's configs cannot be read.
    """
    from benchmarks.sweep.plots import write_plots  # matplotlib takes a second that other benchmarks need not wait

    recommendation = recommend(measurements, options.memory_share)
    verdict = (
        recommendation.sentence
        if recommendation
        else f"Nothing to recommend: no point of {ENSEMBLE} within the memory share; table.md has the findings."
    )
    write_csv(options.output / "points.csv", measurements)
    photos = ", ".join(photo.name for photo in options.photos)
    write_markdown(
        options.output / "table.md", f"Sweep with {photos}", [f"`{command}`", machine()], measurements, verdict
    )
    plots = write_plots(options.output, measurements)
    figures = to_figures(options.models, measurements)
    if figures:
        show("Sweep", figures, options.json)
    written = ["points.csv", "table.md", *(plot.name for plot in plots)]
    print(f"\nIn {options.output}: {', '.join(written)}\n{verdict}")
    if options.apply:
        if recommendation is None:
            raise SweepError("There is nothing to apply: see the findings in table.md, or raise --memory-share.")
        print(apply(recommendation.point, options.repository, options.gpus))


def to_figures(models: Sequence[str], measurements: Sequence[Measurement]) -> list[Figure]:
    """The fastest point of each model, what it owes to batching, and how full its batches were."""
    figures = []
    for model in models:
        points = measured(measurements, model)
        if not points:
            continue
        best = fastest(points)
        batch = best.point.batch
        smallest = fastest([one for one in points if one.point.batch == points[0].point.batch])
        figures += [
            Figure(f"{model}, fastest, at batch {batch}", best.images_per_second, "images/s", "-"),
            Figure(f"{model}, batch formed ÷ {batch}", best.mean_batch / batch, "ratio", "1.00"),
            Figure(
                f"{model}, fastest ÷ batch {smallest.point.batch}",
                best.images_per_second / smallest.images_per_second,
                "ratio",
                "well above 1 on a GPU",
            ),
        ]
    return figures
