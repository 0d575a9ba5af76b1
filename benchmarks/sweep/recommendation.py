"""The fastest setting of the ensemble within a share of the GPU's memory, and the configs that serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.sweep.points import ENSEMBLE, Measurement, Point, fastest, measured
from server.derive import this_machine, write_derived


@dataclass(frozen=True)
class Recommendation:
    """A point to serve with, and the sentence that says why."""

    point: Point
    sentence: str


def recommend(measurements: Sequence[Measurement], share: float) -> Recommendation | None:
    """Choose the ensemble's point with the most photos a second that leaves 1 − `share` of the GPU's memory free.

    Where no memory is known, on a CPU, all points are considered. None when no point of the ensemble remains.
    """
    points = measured(measurements, ENSEMBLE)
    within = [one for one in points if one.gpu is None or one.gpu.memory_mb <= share * one.gpu.memory_total_mb]
    if not within:
        return None
    best = fastest(within)
    rate = f"{best.images_per_second:.2f} images/s"
    if best.gpu is None:
        reason = "the most of all; no GPU's memory was measured"
    else:
        used = best.gpu.memory_mb / best.gpu.memory_total_mb
        reason = f"with {used:.0%} of the GPU's memory, the most within {share:.0%}"
    return Recommendation(best.point, f"Recommended: {best.point}: {rate}, {reason}.")


def apply(point: Point, repository: Path, gpus: int) -> str:
    """Write the configs with a point's batch into a repository; return the commands that serve them, in a sentence.

    Raises:
        ServerError: a config of the repository cannot be read.
    """
    machine = replace(this_machine(gpus), max_batch=point.batch, instances=point.instances)
    name = write_derived(repository, machine)
    options = [f"--max-batch {point.batch}"]
    options += [f"--gpus {gpus}"] if gpus else []
    options += [f"--instances {point.instances}"] if point.instances > 1 else []
    return (
        f"Written: {repository}/*/configs/{name}.pbtxt. `python -m server {' '.join(options)}` serves them, "
        f"or `tritonserver --model-config-name={name}` elsewhere."
    )
