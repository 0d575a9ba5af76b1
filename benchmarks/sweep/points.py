"""What is measured at one point of a sweep, and what came out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

ENSEMBLE = "relight"
NETWORKS = ("segment", "albedo", "shadow", "recombine")


@dataclass(frozen=True)
class Point:
    """One setting of one model.

    Attributes:
        model: a network, or the ensemble.
        batch: max_batch_size the model is loaded with; of an ensemble, all its members.
        instances: of each network on each GPU (on a CPU: on the machine).
        concurrency: requests of one photo that are in flight at any time.
    """

    model: str
    batch: int
    instances: int
    concurrency: int

    def __str__(self) -> str:
        several = f", {self.instances} instances" if self.instances > 1 else ""
        return f"{self.model}, batch {self.batch}{several}, {self.concurrency} in flight"


@dataclass(frozen=True)
class Stage:
    """One model's part in a point, as Triton counts it.

    Attributes:
        queue_ms: what a photo waited for its batch, mean.
        compute_ms: what a photo's batch took, its tensors' way in and out included, mean.
        compute_ms_per_image: the same divided among the batch's photos: what a photo costs an instance.
        mean_batch: photos per execution.
    """

    queue_ms: float
    compute_ms: float
    compute_ms_per_image: float
    mean_batch: float


@dataclass(frozen=True)
class GpuUse:
    """What Triton's metrics said of the GPUs during a point.

    Attributes:
        memory_mb: the most that was in use on the fullest GPU, everything loaded included, in 10⁶ bytes.
        memory_total_mb: what that GPU has, in 10⁶ bytes.
        utilisation: 0–1, the mean over time and GPUs.
    """

    memory_mb: float
    memory_total_mb: float
    utilisation: float


@dataclass(frozen=True)
class Measurement:
    """A point's outcome: numbers, or the finding that it cannot be measured.

    Attributes:
        finding: why there are no numbers, empty where there are.
        images_per_second: of answered photos.
        p50_ms, p95_ms, p99_ms: percentiles of the time from sending a photo to its answer.
        stages: by model; of an ensemble its members, of a network itself.
        gpu: None where the metrics name no GPU.
    """

    point: Point
    finding: str = ""
    images_per_second: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    stages: dict[str, Stage] = field(default_factory=dict)
    gpu: GpuUse | None = None

    @property
    def seconds_per_image(self) -> float:
        """Seconds of the whole machine for one photo."""
        return 1.0 / self.images_per_second

    @property
    def mean_batch(self) -> float:
        """Photos per execution; of an ensemble, in the network that forms the smallest batches."""
        return min(stage.mean_batch for name, stage in self.stages.items() if name in NETWORKS or len(self.stages) == 1)


def to_json(measurement: Measurement) -> dict[str, Any]:
    """The measurement as JSON can hold it."""
    return asdict(measurement)


def from_json(content: dict[str, Any]) -> Measurement:
    """The measurement that `to_json` wrote."""
    gpu = content["gpu"]
    return Measurement(
        **{
            **content,
            "point": Point(**content["point"]),
            "stages": {name: Stage(**stage) for name, stage in content["stages"].items()},
            "gpu": GpuUse(**gpu) if gpu else None,
        }
    )


def measured(measurements: Iterable[Measurement], model: str) -> list[Measurement]:
    """Those of one model that have numbers, by batch, instances and concurrency."""
    chosen = [one for one in measurements if one.point.model == model and not one.finding]
    return sorted(chosen, key=lambda one: (one.point.batch, one.point.instances, one.point.concurrency))


def fastest(measurements: Iterable[Measurement]) -> Measurement:
    """The one with the most photos a second; of equals the first."""
    return max(measurements, key=lambda one: one.images_per_second)
