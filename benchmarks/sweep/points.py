"""What is measured at one point of a sweep, the folder that keeps it to resume from, and what is recommended."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.rig.report import BenchmarkError, write_json
from benchmarks.rig.triton import GpuUse, Stage
from contract.names import ENSEMBLE, NETWORKS
from server.derive import this_machine, write_derived


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


def from_json(content: dict[str, Any]) -> Measurement:
    """The measurement whose dictionary was written."""
    point, stages, gpu = Point(**content.pop("point")), content.pop("stages"), content.pop("gpu")
    known = {name: Stage(**stage) for name, stage in stages.items()}
    return Measurement(point, **content, stages=known, gpu=GpuUse(**gpu) if gpu else None)


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


PLAN, POINTS = "sweep.json", "points.jsonl"


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
        content = json.loads(file.read_text())
        points = tuple(Point(**point) for point in content["points"])
        return Plan(content["settings"], content["networks"], points)
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{file} is not the plan of a sweep: --restart writes it anew.") from error


def write_plan(folder: Path, plan: Plan) -> None:
    """Begin a sweep in a folder; points that are there are forgotten."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / POINTS).write_text("")
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
    return [from_json(json.loads(line)) for line in whole.splitlines()]


def append_point(folder: Path, measurement: Measurement) -> None:
    """Add a point that is done."""
    with (folder / POINTS).open("a") as stream:
        stream.write(json.dumps(asdict(measurement)) + "\n")


def left(plan: Plan, done: Sequence[Measurement]) -> list[Point]:
    """The points of a plan that are not done, in its order."""
    finished = {measurement.point for measurement in done}
    return [point for point in plan.points if point not in finished]
