"""Batch size against throughput, latency and GPU memory, with a real photo.

Each model alone (with the tensors that the models before it give), and the ensemble. A point loads a model with another
max_batch_size and keeps requests of one photo in flight, which Triton joins to batches.
"""

import argparse
import hashlib
import importlib.util
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tritonclient.utils import InferenceServerException

from benchmarks import REPOSITORY, SAMPLES
from benchmarks.rig.perf_analyzer import find_perf_analyzer
from benchmarks.rig.report import BenchmarkError, Figure, Parser, machine, number, several, show
from benchmarks.sweep import points
from benchmarks.sweep.session import REQUESTS_ON_CPU, REQUESTS_ON_GPU, measure_points, swept_server
from contract.command import INTERRUPTED
from contract.names import ENSEMBLE, NETWORKS

CONCURRENCY = re.compile(r"[1-9]\d*x?")


def main(arguments: Sequence[str]) -> int:
    """Sweep, or resume one; return 0, 1 when nothing can be measured, 130 when interrupted."""
    options = parse_arguments(arguments)
    find_perf_analyzer()
    if importlib.util.find_spec("matplotlib") is None:
        raise BenchmarkError("The plots need matplotlib: run `pip install 'relight-triton[benchmarks]'`.")
    try:
        measurements = sweep(options)
    except InferenceServerException as error:
        where = f" at {options.url}" if options.url else ""
        raise BenchmarkError(f"The server{where} fails: {error.message()}") from error
    except KeyboardInterrupt:
        print(f"Interrupted; the same command resumes from {options.output}.", file=sys.stderr)
        return INTERRUPTED
    conclude(options, measurements, shlex.join(["python", "-m", "benchmarks", "sweep", *arguments]))
    return 1 if all(one.finding for one in measurements) else 0


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what follows `--` is for perf_analyzer. What makes no sense is refused with a sentence."""
    cut = list(arguments).index("--") if "--" in arguments else len(arguments)
    example = "--models segment,relight --batches 1,8 --photo samples/astronaut.png"
    more = "what follows ` -- ` goes to perf_analyzer as it is, e.g. `-- --shared-memory system`"
    line = Parser("sweep", str(__doc__), example, more)
    add, listed = line.add_argument, several(number(int))
    all_models = ",".join((*NETWORKS, ENSEMBLE))
    add("--models", type=several(str), default=all_models, metavar="NAME,…", help="models of the ensemble, or it")
    add("--batches", type=listed, default="1,4,8,16,32", metavar="N,…", help="max_batch_size to load with")
    text = "requests in flight; Nx: N for each place in a batch of each instance"
    add("--concurrency", type=several(multiple), default="2x", metavar="N|Nx,…", help=text)
    add("--instances", type=listed, default=(), metavar="N,…", help="of each network on a GPU; without it as served")
    text = "what to send instead of samples/grace_hopper.jpg; again for several: recombine joins equal sizes only"
    add("--photo", type=Path, action="append", metavar="FILE", dest="photos", help=text)
    add("--prompt", default="person", help="whom to cut out")
    text = "requests of a point, at least, and at least 3 × what is in flight; "
    text += f"without it {REQUESTS_ON_CPU}, on a GPU {REQUESTS_ON_GPU}"
    add("--measurement-requests", type=number(int), metavar="N", help=text)
    add("--timeout", type=number(float), default=600.0, metavar="SECONDS", help="longest time of a point")
    add("--gpus", type=number(int, above=-1), default=0, metavar="N", help="GPUs of the embedded server; 0: the CPU")
    add("--repository", type=Path, default=REPOSITORY, help="what the embedded server serves")
    text = "sweep a running server instead, by gRPC; it must load models on request: `python -m server "
    text += "--model-control`, `tritonserver --model-control-mode=explicit --load-model=*`"
    add("--url", metavar="HOST:PORT", help=text)
    add("--metrics-url", metavar="HOST:PORT", help="that server's metrics; without them GPU memory stays empty")
    add("--output", type=Path, default=Path("out/sweep"), metavar="DIR", help="of tables and plots; resumes there")
    add("--retry-failed", action="store_true", help="measure those points again that gave no numbers")
    add("--restart", action="store_true", help="forget the points in the output folder")
    add("--memory-share", type=number(float), default=0.8, metavar="0–1", help="that the recommendation may use")
    add("--apply", action="store_true", help="write the recommended configs into --repository, say what serves them")
    options = argparse.Namespace(**vars(line.parse_args(arguments[:cut])), extra=tuple(arguments[cut + 1 :]))
    options.photos = options.photos or [SAMPLES / "grace_hopper.jpg"]
    if options.instances and not (options.gpus or options.url):
        line.error("--instances counts instances on GPUs: leave it out on a CPU, or say how many GPUs with --gpus")
    if options.memory_share > 1.0:
        line.error(f"--memory-share is a part of the memory, above 0 and up to 1, not {options.memory_share:g}")
    if options.apply and ENSEMBLE not in options.models:
        line.error(f"--apply needs the ensemble's points: add {ENSEMBLE} to --models")
    for photo in options.photos:
        if not photo.is_file():
            line.error(f"There is no photo {photo}: name one with --photo")
    return options


def multiple(text: str) -> str:
    """A number of requests, or a multiple of the places in batches."""
    if not CONCURRENCY.fullmatch(text):
        raise argparse.ArgumentTypeError(f"it takes numbers such as 16 and multiples such as 2x, not {text!r}")
    return text


def sweep(options: argparse.Namespace) -> list[points.Measurement]:
    """Measure the points that the output folder does not hold yet, and return all. Raises as measure_points does."""
    settings = describe(options)
    plan = None if options.restart else points.read_plan(options.output)
    if plan is not None:
        points.check_same(options.output, "settings", plan.settings, settings)
        if options.retry_failed:
            points.forget_failed(options.output)
    # A server that a point brought down is started again for the next.
    while plan is None or points.left(plan, points.read_points(options.output)):
        with swept_server(options) as addresses:
            plan = measure_points(options, settings, plan, *addresses)
    return points.read_points(options.output)


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that make a point's numbers."""
    names = ("models", "batches", "concurrency", "instances", "prompt", "gpus", "url")
    settings = {
        **{name: getattr(options, name) for name in names},
        "photos": {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in options.photos},
        "measurement requests": options.measurement_requests,
        "perf_analyzer arguments": options.extra,
        "machine": machine(),
    }
    as_kept: dict[str, Any] = json.loads(json.dumps(settings))
    return as_kept


def conclude(options: argparse.Namespace, measurements: Sequence[points.Measurement], command: str) -> None:
    """Write tables and plots, print the figures and the recommendation, and apply it if asked.

    Raises BenchmarkError, ServerError: nothing can be recommended, but is to be applied; a config cannot be read.
    """
    from benchmarks.sweep.plots import write_plots  # matplotlib takes a second that other benchmarks need not wait

    nothing = f"Nothing to recommend: no point of {ENSEMBLE} within the memory share; table.md has the findings."
    point, verdict = points.recommend(measurements, options.memory_share) or (None, nothing)
    points.write_csv(options.output / "points.csv", measurements)
    title = f"Sweep with {', '.join(photo.name for photo in options.photos)}"
    points.write_markdown(options.output / "table.md", title, [f"`{command}`", machine()], measurements, verdict)
    plots = write_plots(options.output, measurements)
    figures = to_figures(options.models, measurements)
    if figures:
        show("Sweep", figures, options.json)
    written = ["points.csv", "table.md", *(plot.name for plot in plots)]
    print(f"\nIn {options.output}: {', '.join(written)}\n{verdict}")
    if options.apply:
        if point is None:
            raise BenchmarkError("There is nothing to apply: see the findings in table.md, or raise --memory-share.")
        print(points.apply(point, options.repository, options.gpus))


def to_figures(models: Sequence[str], measurements: Sequence[points.Measurement]) -> list[Figure]:
    """The fastest point of each model, what it owes to batching, and how full its batches were."""
    figures = []
    for model in models:
        chosen = points.measured(measurements, model)
        if not chosen:
            continue
        best, least = points.fastest(chosen), chosen[0].point.batch
        batch = best.point.batch
        smallest = points.fastest([one for one in chosen if one.point.batch == least])
        gain = best.images_per_second / smallest.images_per_second
        figures += [
            Figure(f"{model}, fastest, at batch {batch}", best.images_per_second, "images/s", "-"),
            Figure(f"{model}, batch formed ÷ {batch}", best.mean_batch / batch, "ratio", "1.00"),
            Figure(f"{model}, fastest ÷ batch {least}", gain, "ratio", "well above 1 on a GPU"),
        ]
    return figures
