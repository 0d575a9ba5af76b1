"""Measures one point: perf_analyzer's load, Triton's statistics before and after, its metrics meanwhile."""

import csv
import math
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from benchmarks.rig.perf_analyzer import analyzer_command, environment
from benchmarks.rig.processes import FullWindow, Look, RunFailedError, observe
from benchmarks.rig.triton import METRICS_SECONDS, Gpus, compare, read_counts, read_gpus, read_statistics, summarise
from benchmarks.sweep.points import Measurement, Point

THREAD = re.compile(r"^\s*Thread \[\d+\] had error: ")  # perf_analyzer repeats a reason for each of its threads
WAVES = 3  # the first and the last of what is in flight do not count
INTERVAL = 0.02  # seconds between two readings of the count of answers: what a duration may be wrong by


class MeasurementFailedError(Exception):
    """A point gave no numbers; the message is what perf_analyzer or the server said."""


@dataclass(frozen=True)
class Load:
    """How points are driven."""

    binary: Path  # perf_analyzer
    grpc_url: str  # host:port
    metrics_url: str | None  # host:port
    requests: int  # of a point, at least; never fewer than WAVES times what is in flight
    timeout: float  # seconds of a point, at most
    extra: tuple[str, ...]  # further arguments to perf_analyzer


def measure(
    client: InferenceServerClient, point: Point, models: Sequence[str], input_data: Path, load: Load, *, cold: bool
) -> Measurement:
    """Drive what is loaded with a point's concurrency and return what came out.

    Throughput and the part of each of the `models` are counted by Triton, latencies by perf_analyzer (whose own clock
    runs from the first request to the next full second after the last answer). The requests are
    a multiple of those in flight, so that the last ones still find others for a batch. Where the first batch is to pay
    for selecting kernels (`cold`), as many requests as are in flight go ahead unmeasured.

    Raises MeasurementFailedError, InferenceServerException: requests failed, or took longer than the load allows.
    """
    requests = point.concurrency * max(WAVES, math.ceil(load.requests / point.concurrency))
    full, gpus = FullWindow(point.concurrency, requests), list[Gpus]()
    begin, answered = time.time(), read_counts(client, point.model).requests

    def look(process: int) -> None:
        now = time.time()
        full.note(now, read_counts(client, point.model).requests - answered)
        if now - begin >= len(gpus) * METRICS_SECONDS:
            gpus.append(read_gpus(load.metrics_url))

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        if cold:
            drive(point, point.concurrency, input_data, report, load)
            answered = read_counts(client, point.model).requests
        before = read_statistics(client, models)
        drive(point, requests, input_data, report, load, look)
        after = read_statistics(client, models)
        with report.open(newline="", encoding="utf-8") as stream:
            row = next(csv.DictReader(stream))
    steady = full.steady()
    if steady is None:
        raise MeasurementFailedError("too short to tell its throughput: --measurement-requests makes it longer")
    p50, p95, p99 = (float(row[f"{name} latency"]) / 1000 for name in ("p50", "p95", "p99"))
    rate, stages = steady.images_per_second, compare(before, after)
    return Measurement(point, "", rate, p50, p95, p99, stages, summarise(gpus))


def drive(point: Point, requests: int, data: Path, report: Path, load: Load, look: Look = lambda process: None) -> None:
    """Send requests and write perf_analyzer's report. Raises MeasurementFailedError: not all were answered in time."""
    options = ("--async", "--request-count", str(requests), "-f", str(report), *load.extra)
    command = analyzer_command(load.binary, load.grpc_url, data, point.concurrency, *options, model=point.model)
    try:
        observe(command, look, INTERVAL, timeout=load.timeout, env=environment(load.binary))
    except RunFailedError as error:
        reasons = dict.fromkeys(THREAD.sub("", line) for line in error.said.splitlines() if line.strip())
        remedy = "" if error.ended else ": --retry-failed with a longer --timeout"
        raise MeasurementFailedError(" ".join(list(reasons)[-2:]) + remedy) from error
    if not report.exists():
        raise MeasurementFailedError("perf_analyzer wrote no report")
