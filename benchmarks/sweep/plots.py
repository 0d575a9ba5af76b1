"""The plots of a sweep: throughput against batch, latency against throughput, time per stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.rig.triton import Stage
from benchmarks.sweep.points import Measurement, fastest, measured
from contract.names import ENSEMBLE

SIZE = (8.0, 5.0)  # inches
DOTS = 120  # per inch
# Okabe and Ito's palette, which colour-blind readers can tell apart; one colour a model in every plot.
COLOURS = {
    "decode": "#56B4E9",
    "segment": "#0072B2",
    "albedo": "#E69F00",
    "shadow": "#009E73",
    "recombine": "#CC79A7",
    "encode": "#D55E00",
    ENSEMBLE: "#000000",
}


def write_plots(folder: Path, measurements: Sequence[Measurement]) -> list[Path]:
    """Write the plots that the points allow as PNG files and return them."""
    plots: list[tuple[str, Figure]] = []
    models = [model for model in COLOURS if measured(measurements, model)]
    if models:
        plots += [("throughput.png", draw_throughput(measurements, models))]
        plots += [("latency.png", draw_latency(measurements, models))]
    if ENSEMBLE in models:
        plots += [("stages.png", draw_stages(measurements))]
    for name, figure in plots:
        figure.savefig(folder / name, dpi=DOTS)
    return [folder / name for name, _ in plots]


def draw_throughput(measurements: Sequence[Measurement], models: Sequence[str]) -> Figure:
    """Images/s over batch, both logarithmic: models differ by orders of magnitude, and their ratios are the point."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.subplots()
    batches: set[int] = set()
    for model in models:
        points = best_by_batch(measurements, model)
        batches |= {one.point.batch for one in points}
        axes.plot(
            [one.point.batch for one in points],
            [one.images_per_second for one in points],
            marker="o",
            color=COLOURS[model],
            linewidth=2.5 if model == ENSEMBLE else 1.5,
            label=model,
        )
    axes.set(title="Throughput against batch size", xlabel="max_batch_size", ylabel="images/s")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(batches), [str(batch) for batch in sorted(batches)])
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    tidy(axes)
    figure.legend(loc="outside right center", frameon=False)
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
        tidy(axes)
    for axes in list(grid.flat)[len(models) :]:
        axes.set_visible(False)
    figure.suptitle("Latency against throughput; each point is named by its batch size")
    return figure


def draw_stages(measurements: Sequence[Measurement]) -> Figure:
    """The ensemble's stages stacked over batch: what a photo costs an instance, and how long it waits for its batch."""
    figure = Figure(figsize=(10.0, 5.0), layout="constrained")
    cost, wait = figure.subplots(1, 2)
    points = best_by_batch(measurements, ENSEMBLE)
    stack(cost, points, lambda stage: stage.compute_ms_per_image)
    cost.set(title="Computing: a batch's time ÷ its photos", ylabel="ms per image")
    stack(wait, points, lambda stage: stage.queue_ms)
    wait.set(title="Waiting: for a batch and for the instance", ylabel="ms per image")
    handles, labels = cost.get_legend_handles_labels()
    # The legend in the order of the stack.
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", frameon=False)
    figure.suptitle("Time per stage of the ensemble")
    return figure


def best_by_batch(measurements: Sequence[Measurement], model: str) -> list[Measurement]:
    """The fastest point of a model at each batch, by batch."""
    points = measured(measurements, model)
    batches = dict.fromkeys(one.point.batch for one in points)
    return [fastest([one for one in points if one.point.batch == batch]) for batch in batches]


def stack(axes: Axes, points: Sequence[Measurement], height: Callable[[Stage], float]) -> None:
    """One bar a batch, a segment a stage, in the order in which a photo passes them."""
    positions = range(len(points))
    bottoms = [0.0] * len(points)
    for name in (name for name in COLOURS if any(name in one.stages for one in points)):
        heights = [height(one.stages[name]) if name in one.stages else 0.0 for one in points]
        axes.bar(positions, heights, bottom=bottoms, color=COLOURS[name], label=name, width=0.7)
        bottoms = [bottom + part for bottom, part in zip(bottoms, heights, strict=True)]
    axes.set_xticks(positions, [str(one.point.batch) for one in points])
    axes.set_xlabel("max_batch_size")
    tidy(axes)


def tidy(axes: Axes) -> None:
    """Lines that help to read values, none that do not."""
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
