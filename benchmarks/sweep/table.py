"""The points of a sweep as CSV, and as Markdown in the form of the table that batched pipelines advertise with."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rig.report import markdown
from benchmarks.sweep.points import Measurement, measured

PHOTOS = 10_000


def write_csv(file: Path, measurements: Sequence[Measurement]) -> None:
    """Write one row a point; what was not measured is empty. `stage_…` columns exist for every stage of any point."""
    rows = [to_row(measurement) for measurement in measurements]
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(column for row in rows for column in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)


def to_row(measurement: Measurement) -> dict[str, Any]:
    """One point as a row of the CSV."""
    gpu = measurement.gpu
    row: dict[str, Any] = {**vars(measurement.point), "finding": measurement.finding}
    if measurement.finding:
        return row
    row |= {
        "images_per_second": f"{measurement.images_per_second:.4f}",
        "seconds_per_image": f"{measurement.seconds_per_image:.6f}",
        **{name: f"{getattr(measurement, name):.3f}" for name in ("p50_ms", "p95_ms", "p99_ms", "mean_batch")},
        "gpu_memory_mb": f"{gpu.memory_mb:.0f}" if gpu else "",
        "gpu_memory_total_mb": f"{gpu.memory_total_mb:.0f}" if gpu else "",
        "gpu_utilisation": f"{gpu.utilisation:.3f}" if gpu else "",
    }
    for model, stage in measurement.stages.items():
        row |= {f"{model}_{name}": f"{value:.3f}" for name, value in vars(stage).items()}
    return row


def write_markdown(
    file: Path, title: str, conditions: Sequence[str], measurements: Sequence[Measurement], verdict: str
) -> None:
    """Write the conditions, a table for each model, and what follows from them."""
    parts = [f"# {title}", "\n".join(f"- {condition}" for condition in conditions)]
    for model in dict.fromkeys(measurement.point.model for measurement in measurements):
        parts += [f"## {model}", table(measured(measurements, model))]
        parts += ["\n".join(f"- {one}" for one in measurements if one.point.model == model and one.finding)]
    parts += [
        "GPU memory and utilisation are Triton's own metrics: all that is loaded, on the fullest GPU. They are empty "
        "where there is no GPU.",
        verdict,
    ]
    file.write_text("\n\n".join(part for part in parts if part) + "\n")


def table(points: Sequence[Measurement]) -> str:
    """One model's table."""
    rows = [columns(one) for one in points]
    if len({one.point.instances for one in points}) < 2:
        for row in rows:
            del row["instances"]
    return markdown(list(rows[0]), [list(row.values()) for row in rows]) if rows else ""


def columns(measurement: Measurement) -> dict[str, str]:
    """One point's cells by their headings."""
    gpu, seconds = measurement.gpu, measurement.seconds_per_image
    return {
        "instances": str(measurement.point.instances),
        "batch": str(measurement.point.batch),
        "in flight": str(measurement.point.concurrency),
        "GPU memory, GB": f"{gpu.memory_mb / 1000:.1f}" if gpu else "",
        "GPU utilisation": f"{gpu.utilisation:.0%}" if gpu else "",
        "s/image": f"{seconds:.3f}",
        f"hours for {PHOTOS:,}": f"{seconds * PHOTOS / 3600:.2f}",
        "images/s": f"{measurement.images_per_second:.2f}",
        "batch formed": f"{measurement.mean_batch:.1f}",
        "p50, ms": f"{measurement.p50_ms:.0f}",
        "p95, ms": f"{measurement.p95_ms:.0f}",
        "p99, ms": f"{measurement.p99_ms:.0f}",
    }
