"""Measures one point: perf_analyzer's load, Triton's statistics before and after, its metrics meanwhile."""

from __future__ import annotations

import csv
import math
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from benchmarks.perf_analyzer import run_perf_analyzer
from benchmarks.sweep import gpu_metrics, throughput
from benchmarks.sweep.points import Measurement, Point
from benchmarks.sweep.sampling import sampled
from benchmarks.sweep.stages import compare, read_statistics

THREAD = re.compile(r"^\s*Thread \[\d+\] had error: ")  # perf_analyzer repeats a reason for each of its threads
WAVES = 3  # the first and the last of what is in flight do not count


class MeasurementFailedError(Exception):
    """A point gave no numbers; the message is what perf_analyzer or the server said."""


@dataclass(frozen=True)
class Load:
    """How points are driven.

    Attributes:
        grpc_url, metrics_url: host:port.
        requests: of a point, at least; never fewer than WAVES times what is in flight.
        timeout: seconds of a point, at most.
        extra: further arguments to perf_analyzer.
    """

    grpc_url: str
    metrics_url: str | None
    requests: int
    timeout: float
    extra: tuple[str, ...]


def measure(
    client: InferenceServerClient, point: Point, models: Sequence[str], input_data: Path, load: Load, *, cold: bool
) -> Measurement:
    """Drive what is loaded with a point's concurrency and return what came out.

    Throughput and stages are counted by Triton, latencies by perf_analyzer. The requests are a multiple
    of those in flight, so that the last ones still find company for a batch.

    Args:
        client: of the server under load.
        point: what is loaded, and the concurrency.
        models: those whose part is to be told.
        input_data: perf_analyzer's.
        load: how.
        cold: the first batch is to pay for selecting kernels: as many requests as are in flight go ahead unmeasured.

    Raises:
        MeasurementFailedError: requests failed, or took longer than the load allows.
        InferenceServerException: the server does not answer.
    """
    requests = point.concurrency * max(WAVES, math.ceil(load.requests / point.concurrency))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        if cold:
            drive(point, point.concurrency, input_data, report, load)
        before = read_statistics(client, models)
        with (
            InferenceServerClient(load.grpc_url) as observer,  # a client serves one thread
            sampled(lambda: throughput.read_answers(observer, point.model), throughput.INTERVAL) as readings,
            sampled(lambda: gpu_metrics.read_gpus(load.metrics_url), gpu_metrics.INTERVAL) as gpus,
        ):
            drive(point, requests, input_data, report, load)
        after = read_statistics(client, models)
        with report.open(newline="") as stream:
            row = next(csv.DictReader(stream))
    rate = throughput.rate(readings, point.concurrency, requests)
    if rate is None:
        raise MeasurementFailedError("too short to tell its pace: --measurement-requests makes it longer")
    return Measurement(
        point,
        images_per_second=rate,
        p50_ms=float(row["p50 latency"]) / 1000,
        p95_ms=float(row["p95 latency"]) / 1000,
        p99_ms=float(row["p99 latency"]) / 1000,
        stages=compare(before, after),
        gpu=gpu_metrics.summarise(gpus),
    )


def drive(point: Point, requests: int, input_data: Path, report: Path, load: Load) -> None:
    """Send requests and write perf_analyzer's report.

    Raises:
        MeasurementFailedError: not all were answered in time.
    """
    arguments = ["-i", "grpc", "-u", load.grpc_url, "--async", "--input-data", str(input_data)]
    arguments += ["--concurrency-range", str(point.concurrency), "--request-count", str(requests)]
    arguments += ["-f", str(report), *load.extra]
    try:
        done = run_perf_analyzer(arguments, model=point.model, capture=True, timeout=load.timeout)
    except subprocess.TimeoutExpired as error:
        raise MeasurementFailedError(
            f"not done within {load.timeout:g} s: --restart with a longer --timeout"
        ) from error
    if done.returncode != 0 or not report.exists():
        reasons = dict.fromkeys(THREAD.sub("", line) for line in (done.stderr or done.stdout).splitlines())
        last = [reason for reason in reasons if reason.strip()][-2:]
        raise MeasurementFailedError(" ".join(last) or f"perf_analyzer ended with exit code {done.returncode}")
