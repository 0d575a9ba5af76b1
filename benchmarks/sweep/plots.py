"""The plots of a sweep: throughput against batch, latency against throughput, time per stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.sweep.points import Measurement, fastest, measured
from contract.names import ENSEMBLE

# Okabe and Ito's palette, which colour-blind readers can tell apart; one colour a model in every plot.
COLOURS = {"decode": "#56B4E9", "segment": "#0072B2", "albedo": "#E69F00", "shadow": "#009E73"}
COLOURS |= {"recombine": "#CC79A7", "encode": "#D55E00", ENSEMBLE: "#000000"}
STYLE: dict[Any, Any] = {"axes.grid": True, "axes.grid.axis": "y", "grid.color": "0.9", "axes.axisbelow": True}
STYLE |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "savefig.dpi": 120}


def write_plots(folder: Path, measurements: Sequence[Measurement]) -> list[Path]:
    """Write the plots that the points allow as PNG files and return them."""
    models = [model for model in COLOURS if measured(measurements, model)]
    with mpl.rc_context(STYLE):
        plots: dict[str, Figure] = {}
        if models:
            plots["throughput.png"] = draw_throughput(measurements, models)
            plots["latency.png"] = draw_latency(measurements, models)
        if ENSEMBLE in models:
            plots["stages.png"] = draw_stages(best_by_batch(measurements, ENSEMBLE))
        for name, figure in plots.items():
            figure.savefig(folder / name)
    return [folder / name for name in plots]


def draw_throughput(measurements: Sequence[Measurement], models: Sequence[str]) -> Figure:
    """Images/s over batch, both logarithmic: models differ by orders of magnitude, and their ratios are the point."""
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    batches: set[int] = set()
    for model in models:
        points = best_by_batch(measurements, model)
        x, y = [one.point.batch for one in points], [one.images_per_second for one in points]
        axes.plot(x, y, marker="o", color=COLOURS[model], linewidth=2.5 if model == ENSEMBLE else 1.5, label=model)
        batches.update(x)
    axes.set(title="Throughput against batch size", xlabel="max_batch_size", ylabel="images/s")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(batches), [str(batch) for batch in sorted(batches)])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside right center")
    return figure


def draw_latency(measurements: Sequence[Measurement], models: Sequence[str]) -> Figure:
    """Median latency over images/s, a panel a model, with a bar up to p95; each point is named by its batch."""
    columns = min(3, len(models))
    rows = -(-len(models) // columns)
    figure = Figure(figsize=(4.0 * columns, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, model in zip(grid.flat, models, strict=False):
        points = measured(measurements, model)
        x, y = [one.images_per_second for one in points], [one.p50_ms / 1000 for one in points]
        tail = [(one.p95_ms - one.p50_ms) / 1000 for one in points]
        axes.errorbar(x, y, yerr=[[0.0] * len(tail), tail], fmt="o", color=COLOURS[model], ecolor="0.7", capsize=3)
        for one, position in zip(points, zip(x, y, strict=True), strict=True):
            axes.annotate(str(one.point.batch), position, xytext=(6, -3), textcoords="offset points")
        axes.set(title=model, xlabel="images/s", ylabel="latency, s: p50 up to p95", xlim=(0.0, 1.2 * max(x)))
        axes.set_ylim(bottom=0.0)
    for axes in list(grid.flat)[len(models) :]:
        axes.set_visible(False)
    figure.suptitle("Latency against throughput; each point is named by its batch size")
    return figure


def draw_stages(points: Sequence[Measurement]) -> Figure:
    """The ensemble's stages stacked over batch: what a photo costs an instance, and how long it waits for its batch."""
    figure = Figure(figsize=(10.0, 5.0), layout="constrained")
    cost, wait = figure.subplots(1, 2)
    for axes, value in ((cost, "compute_ms_per_image"), (wait, "queue_ms")):
        bottoms = [0.0] * len(points)
        for name in (name for name in COLOURS if any(name in one.stages for one in points)):
            heights = [getattr(one.stages[name], value) if name in one.stages else 0.0 for one in points]
            axes.bar(range(len(points)), heights, bottom=bottoms, color=COLOURS[name], label=name, width=0.7)
            bottoms = [bottom + part for bottom, part in zip(bottoms, heights, strict=True)]
        axes.set_xticks(range(len(points)), [str(one.point.batch) for one in points])
        axes.set(xlabel="max_batch_size", ylabel="ms per image")
    cost.set_title("Computing: a batch's time ÷ its photos")
    wait.set_title("Waiting: for a batch and for the instance")
    handles, labels = cost.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center")  # in the order of the stack
    figure.suptitle("Time per stage of the ensemble")
    return figure


def best_by_batch(measurements: Sequence[Measurement], model: str) -> list[Measurement]:
    """The fastest point of a model at each batch, by batch."""
    points = measured(measurements, model)
    batches = dict.fromkeys(one.point.batch for one in points)
    return [fastest([one for one in points if one.point.batch == batch]) for batch in batches]
