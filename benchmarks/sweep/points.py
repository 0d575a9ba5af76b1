"""The points of a sweep: what came out, the folder to resume from, tables, and which point is recommended."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.rig.report import BenchmarkError, markdown, write_json
from benchmarks.rig.triton import GpuUse, Stage
from contract.names import ENSEMBLE, NETWORKS
from server.derive import this_machine, write_derived

PHOTOS = 10_000
PLAN, POINTS = "sweep.json", "points.jsonl"


@dataclass(frozen=True)
class Point:
    """One setting of one model."""

    model: str  # a network, or the ensemble
    batch: int  # max_batch_size the model is loaded with; of an ensemble, all its members
    instances: int  # of each network on each GPU (on a CPU: on the machine)
    concurrency: int  # requests of one photo that are in flight at any time

    def __str__(self) -> str:
        several = f", {self.instances} instances" if self.instances > 1 else ""
        return f"{self.model}, batch {self.batch}{several}, {self.concurrency} in flight"


@dataclass(frozen=True)
class Measurement:
    """A point's outcome: numbers, or the finding that it cannot be measured."""

    point: Point
    finding: str = ""  # why there are no numbers, empty where there are
    images_per_second: float = 0.0  # of answered photos
    p50_ms: float = 0.0  # percentiles of the time from sending a photo to its answer
    p95_ms: float = 0.0  # percentiles of the time from sending a photo to its answer
    p99_ms: float = 0.0  # percentiles of the time from sending a photo to its answer
    stages: dict[str, Stage] = field(default_factory=dict)  # by model; of an ensemble its members, of a network itself
    gpu: GpuUse | None = None  # None where the metrics name no GPU

    @property
    def seconds_per_image(self) -> float:
        """Seconds of the whole machine for one photo."""
        return 1.0 / self.images_per_second

    @property
    def mean_batch(self) -> float:
        """Photos per execution; of an ensemble, in the network that forms the smallest batches."""
        return min(stage.mean_batch for name, stage in self.stages.items() if name in NETWORKS or len(self.stages) == 1)

    def __str__(self) -> str:
        if self.finding:
            return f"{self.point}: {self.finding}"
        rate = f"{self.images_per_second:.2f} images/s"
        return f"{self.point}: {rate}, batches of {self.mean_batch:.1f}, p95 {self.p95_ms:.0f} ms"


def measured(measurements: Iterable[Measurement], model: str) -> list[Measurement]:
    """Those of one model that have numbers, by batch, instances and concurrency."""
    chosen = [one for one in measurements if one.point.model == model and not one.finding]
    return sorted(chosen, key=lambda one: (one.point.batch, one.point.instances, one.point.concurrency))


def fastest(measurements: Iterable[Measurement]) -> Measurement:
    """The one with the most photos a second; of equals the first."""
    return max(measurements, key=lambda one: one.images_per_second)


def recommend(measurements: Sequence[Measurement], share: float) -> tuple[Point, str] | None:
    """The ensemble's point with the most photos a second that leaves 1 − `share` of the GPU's memory free, and why.

    Where no memory is known, on a CPU, all points are considered. None when no point of the ensemble remains.
    """
    points = measured(measurements, ENSEMBLE)
    within = [one for one in points if one.gpu is None or one.gpu.memory_mb <= share * one.gpu.memory_total_mb]
    if not within:
        return None
    best = fastest(within)
    reason = "the most of all; no GPU's memory was measured"
    if best.gpu is not None:
        used = best.gpu.memory_mb / best.gpu.memory_total_mb
        reason = f"with {used:.0%} of the GPU's memory, the most within {share:.0%}"
    return best.point, f"Recommended: {best.point}: {best.images_per_second:.2f} images/s, {reason}."


def apply(point: Point, repository: Path, gpus: int) -> str:
    """Write the configs with a point's batch into a repository; return the commands that serve them, in a sentence.

    Raises ServerError: a config of the repository cannot be read.
    """
    name = write_derived(repository, replace(this_machine(gpus), max_batch=point.batch, instances=point.instances))
    options = [f"--max-batch {point.batch}"]
    options += [f"--gpus {gpus}"] if gpus else []
    options += [f"--instances {point.instances}"] if point.instances > 1 else []
    return (
        f"Written: {repository}/*/configs/{name}.pbtxt. `python -m server {' '.join(options)}` serves them, "
        f"or `tritonserver --model-config-name={name}` elsewhere."
    )


@dataclass(frozen=True)
class Plan:
    """What a sweep measures and under which conditions."""

    settings: dict[str, Any]  # whatever would change the numbers, as JSON has it
    networks: dict[str, Any]  # what the ensemble says its networks are
    points: tuple[Point, ...]  # in the order in which they are measured


def read_plan(folder: Path) -> Plan | None:
    """The plan of the sweep in a folder, None where there is none. Raises BenchmarkError: the file is not a plan."""
    file = folder / PLAN
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text("utf-8"))
        points = tuple(Point(**point) for point in content["points"])
        return Plan(content["settings"], content["networks"], points)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{file} is not the plan of a sweep: --restart writes another.") from error


def write_plan(folder: Path, plan: Plan) -> None:
    """Begin a sweep in a folder; points that are there are forgotten."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / POINTS).write_text("", "utf-8")
    write_json(folder / PLAN, asdict(plan))


def check_same(folder: Path, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to mix points of different conditions. Raises BenchmarkError, naming each difference."""

    def brief(value: Any) -> str:
        text = json.dumps(value)
        return text if len(text) <= 80 else f"{text[:77]}…"

    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if keys:
        differences = ", ".join(f"{key} {brief(before.get(key))} → {brief(now.get(key))}" for key in keys)
        raise BenchmarkError(
            f"The points in {folder} were measured with other {what} ({differences}): "
            "--restart forgets them, --output keeps them and starts elsewhere."
        )


def read_points(folder: Path) -> list[Measurement]:
    """The points that are done. A last line that was cut off while it was written is removed."""
    file = folder / POINTS
    content = file.read_bytes() if file.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        file.write_bytes(whole)
    found = []
    for one in map(json.loads, whole.splitlines()):
        stages = {name: Stage(**stage) for name, stage in one["stages"].items()}
        nested = {"point": Point(**one["point"]), "stages": stages, "gpu": GpuUse(**one["gpu"]) if one["gpu"] else None}
        found.append(Measurement(**{**one, **nested}))
    return found


def forget_failed(folder: Path) -> None:
    """Keep the points that have numbers, so that a resumed sweep measures the others again."""
    kept = [measurement for measurement in read_points(folder) if not measurement.finding]
    partial = folder / f"{POINTS}.partial"
    partial.write_text("".join(json.dumps(asdict(measurement)) + "\n" for measurement in kept), "utf-8")
    partial.replace(folder / POINTS)


def append_point(folder: Path, measurement: Measurement) -> None:
    """Add a point that is done."""
    with (folder / POINTS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(measurement)) + "\n")


def left(plan: Plan, done: Sequence[Measurement]) -> list[Point]:
    """The points of a plan that are not done, in its order."""
    finished = {measurement.point for measurement in done}
    return [point for point in plan.points if point not in finished]


def write_csv(file: Path, measurements: Sequence[Measurement]) -> None:
    """Write one row a point; what was not measured is empty. `stage_…` columns exist for every stage of any point."""
    rows = [to_row(measurement) for measurement in measurements]
    with file.open("w", newline="", encoding="utf-8") as stream:
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
        rows = [columns(one) for one in measured(measurements, model)]
        if len({row["instances"] for row in rows}) < 2:
            rows = [dict(list(row.items())[1:]) for row in rows]
        parts += [f"## {model}", markdown(list(rows[0]), [list(row.values()) for row in rows]) if rows else ""]
        parts += ["\n".join(f"- {one}" for one in measurements if one.point.model == model and one.finding)]
    parts += [
        "GPU memory and utilisation are Triton's own metrics: all that is loaded, on the fullest GPU. They are empty "
        "where there is no GPU.",
        verdict,
    ]
    file.write_text("\n\n".join(part for part in parts if part) + "\n", "utf-8")


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
        **{f"p{share}, ms": f"{getattr(measurement, f'p{share}_ms'):.0f}" for share in (50, 95, 99)},
    }
