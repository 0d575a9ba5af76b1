"""The points of a sweep as CSV, and as Markdown in the form of the table that batched pipelines advertise with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.sweep.points import Measurement, measured

PHOTOS = 10_000
HEADINGS = (
    "batch",
    "in flight",
    "GPU memory, GB",
    "GPU utilisation",
    "s/image",
    f"hours for {PHOTOS:,}",
    "images/s",
    "batch formed",
    "p50, ms",
    "p95, ms",
    "p99, ms",
)


def write_csv(file: Path, measurements: Sequence[Measurement]) -> None:
    """Write one row a point; what was not measured is empty. `stage_…` columns exist for every stage of any point."""
    rows = [to_row(measurement) for measurement in measurements]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def to_row(measurement: Measurement) -> dict[str, Any]:
    """One point as a row of the CSV."""
    point, gpu = measurement.point, measurement.gpu
    row: dict[str, Any] = {
        "model": point.model,
        "batch": point.batch,
        "instances": point.instances,
        "concurrency": point.concurrency,
        "finding": measurement.finding,
    }
    if measurement.finding:
        return row
    row |= {
        "images_per_second": f"{measurement.images_per_second:.4f}",
        "seconds_per_image": f"{measurement.seconds_per_image:.6f}",
        "p50_ms": f"{measurement.p50_ms:.3f}",
        "p95_ms": f"{measurement.p95_ms:.3f}",
        "p99_ms": f"{measurement.p99_ms:.3f}",
        "mean_batch": f"{measurement.mean_batch:.3f}",
        "gpu_memory_mb": f"{gpu.memory_mb:.0f}" if gpu else "",
        "gpu_memory_total_mb": f"{gpu.memory_total_mb:.0f}" if gpu else "",
        "gpu_utilisation": f"{gpu.utilisation:.3f}" if gpu else "",
    }
    for name, stage in measurement.stages.items():
        row |= {
            f"{name}_queue_ms": f"{stage.queue_ms:.3f}",
            f"{name}_compute_ms": f"{stage.compute_ms:.3f}",
            f"{name}_compute_ms_per_image": f"{stage.compute_ms_per_image:.3f}",
            f"{name}_mean_batch": f"{stage.mean_batch:.3f}",
        }
    return row


def write_markdown(
    file: Path, title: str, conditions: Sequence[str], measurements: Sequence[Measurement], verdict: str
) -> None:
    """Write the conditions, a table for each model, and what follows from them."""
    lines = [f"# {title}", "", *(f"- {condition}" for condition in conditions), ""]
    for model in dict.fromkeys(measurement.point.model for measurement in measurements):
        lines += [f"## {model}", "", *table(measurements, model), ""]
    lines += [
        "GPU memory and utilisation are Triton's own metrics: all that is loaded, on the fullest GPU. They are empty "
        "where there is no GPU.",
        "",
        verdict,
    ]
    file.write_text("\n".join(lines) + "\n")


def table(measurements: Sequence[Measurement], model: str) -> list[str]:
    """The lines of one model's table, its findings below."""
    points = measured(measurements, model)
    several = len({one.point.instances for one in points}) > 1
    headings = [*(["instances"] if several else []), *HEADINGS]
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for one in points:
        cells = [*([str(one.point.instances)] if several else []), *to_cells(one)]
        lines.append(f"| {' | '.join(cells)} |")
    findings = [one for one in measurements if one.point.model == model and one.finding]
    return [*lines, *([""] if findings else []), *(f"- {one.point}: {one.finding}" for one in findings)]


def to_cells(measurement: Measurement) -> list[str]:
    """One point as cells under HEADINGS."""
    gpu = measurement.gpu
    return [
        str(measurement.point.batch),
        str(measurement.point.concurrency),
        f"{gpu.memory_mb / 1000:.1f}" if gpu else "",
        f"{gpu.utilisation:.0%}" if gpu else "",
        f"{measurement.seconds_per_image:.3f}",
        f"{measurement.seconds_per_image * PHOTOS / 3600:.2f}",
        f"{measurement.images_per_second:.2f}",
        f"{measurement.mean_batch:.1f}",
        f"{measurement.p50_ms:.0f}",
        f"{measurement.p95_ms:.0f}",
        f"{measurement.p99_ms:.0f}",
    ]
