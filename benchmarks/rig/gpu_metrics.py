"""GPU memory and utilisation from Triton's own metrics, which a server elsewhere has too."""

from __future__ import annotations

import re
import statistics
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

INTERVAL = 0.5  # seconds; Triton itself reads them as often when started with ARGUMENT
ARGUMENT = "--metrics-interval-ms=500"
LINE = re.compile(
    r'^nv_gpu_(?P<name>utilization|memory_used_bytes|memory_total_bytes)\{gpu_uuid="(?P<gpu>[^"]*)"\} (?P<value>\S+)$',
    re.MULTILINE,
)

Gpus = Mapping[str, Mapping[str, float]]  # by UUID, then by the metric's name after nv_gpu_


@dataclass(frozen=True)
class GpuUse:
    """What Triton's metrics said of the GPUs during a run."""

    memory_mb: float  # the most that was in use on the fullest GPU, everything loaded included, in 10⁶ bytes
    memory_total_mb: float  # what that GPU has, in 10⁶ bytes
    utilisation: float  # 0–1, the mean over time and GPUs


def read_gpus(metrics_url: str | None) -> Gpus:
    """Read the metrics page at host:port; nothing where there is none. Raises OSError: it does not answer."""
    if metrics_url is None:
        return {}
    with urllib.request.urlopen(f"http://{metrics_url}/metrics", timeout=5.0) as answer:
        return parse_metrics(answer.read().decode())


def parse_metrics(text: str) -> Gpus:
    """Read what Triton's metrics page says of each GPU: nothing on a CPU."""
    gpus: dict[str, dict[str, float]] = {}
    for match in LINE.finditer(text):
        gpus.setdefault(match["gpu"], {})[match["name"]] = float(match["value"])
    return gpus


def summarise(samples: Sequence[Gpus]) -> GpuUse | None:
    """The fullest GPU's peak and the mean utilisation; None where no sample names a GPU's memory and utilisation."""
    gpus = [gpu for sample in samples for gpu in sample.values() if len(gpu) == 3]
    if not gpus:
        return None
    fullest = max(gpus, key=lambda gpu: gpu["memory_used_bytes"] / gpu["memory_total_bytes"])
    return GpuUse(
        memory_mb=fullest["memory_used_bytes"] / 1e6,
        memory_total_mb=fullest["memory_total_bytes"] / 1e6,
        utilisation=statistics.fmean(gpu["utilization"] for gpu in gpus),
    )
