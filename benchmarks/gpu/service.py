"""The whole service on one GPU: the embedded server and the client, against the service's networks alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from PIL import Image

from benchmarks.gpu.child import run_isolated
from benchmarks.gpu.errors import CannotMeasureError
from benchmarks.gpu.networks import built
from benchmarks.gpu.repository import STAGES, write_repository
from benchmarks.gpu.results import Results, Service
from benchmarks.gpu.session import left, measure_all
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.variants import SERVED, VARIANTS
from benchmarks.sweep.gpu_metrics import INTERVAL, Gpus, read_gpus, summarise
from benchmarks.sweep.points import GpuUse
from server.derive import this_machine
from server.embedded import Options, RunningServer, embedded_server
from server.installation import ServerError

ROOT = Path(__file__).resolve().parents[2]
SIDE = 1024  # of the photos
DIFFERENT = 32  # photos; further rows name them again
BATCH = 16  # the largest of the hand-written configs
# Tensors of a batch of 16 are 49 MB for SAM3 alone; Triton's own pools would send them by way of the host.
POOLS = ("--cuda-memory-pool-byte-size=0:2147483648", "--pinned-memory-pool-byte-size=2147483648")


def measure_service(
    setting: Setting, photos: int, deadline: float, results: Results, keep: Callable[[Results], None]
) -> Results:
    """Measure the served networks alone, then all of them behind Triton.

    Args:
        setting: where and how; of its batches only the served one is measured.
        photos: rows of the client's table.
        deadline: on the monotonic clock.
        results: what is known already.
        keep: is given the results after each piece.

    Raises:
        CannotMeasureError: a network alone, a file, the server or the client fails; the message says which and why.
    """
    batch = setting.batches[0] if setting.tiny else BATCH
    plan = [(name, VARIANTS[SERVED]) for name in STAGES.values()]
    results = measure_all(replace(setting, batches=(batch,)), plan, deadline, results, keep)
    alone = {}
    for name in STAGES.values():
        ms = results.ms(name, SERVED, batch)
        if ms is None:
            raise CannotMeasureError(f"{name} alone: {results.at(name, SERVED)[batch].finding}.")
        alone[name] = ms
    repository = setting.folder / "models"
    write_files(setting, repository, deadline)
    table = write_photos(setting.folder / "photos", photos)
    options = Options(
        repository,
        this_machine(gpus=0 if setting.tiny else 1),
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        log=setting.log("triton"),
        start_timeout=left(deadline),
        extra=("--metrics-interval-ms=500", *(() if setting.tiny else POOLS)),
    )
    try:
        with embedded_server(options) as server:
            results = replace(results, service=serve(setting, server, table, photos, alone, deadline))
    except ServerError as error:
        raise CannotMeasureError(f"The service does not start: {error}") from error
    keep(results)
    return results


def write_files(setting: Setting, repository: Path, deadline: float) -> None:
    """Write the repository in a process of its own, which gives the GPU back. Raises CannotMeasureError."""
    for name in STAGES.values():
        built(name, setting.tiny)
    log = setting.log("repository")
    work = partial(write_repository, setting, repository)
    outcome = run_isolated(work, left(deadline), log, start=setting.start)
    if "recombine" not in outcome.sent:
        raise CannotMeasureError(f"The networks could not be written ({outcome.fault}); {log} holds what was said.")


def write_photos(folder: Path, rows: int) -> Path:
    """Write photos of SIDE² and a table of `rows` of them."""
    folder.mkdir()
    random = np.random.default_rng(0)
    portrait = Image.open(ROOT / "samples" / "grace_hopper.jpg").convert("RGB").resize((SIDE, SIDE))
    for number in range(min(rows, DIFFERENT)):
        grain = random.integers(-8, 9, (SIDE, SIDE, 1))
        pixels = (np.asarray(portrait, np.int16) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)
    table = folder / "photos.csv"
    table.write_text("image_path\n" + "".join(f"{row % DIFFERENT}.jpg\n" for row in range(rows)))
    return table


def serve(
    setting: Setting, server: RunningServer, table: Path, photos: int, alone: Mapping[str, float], deadline: float
) -> Service:
    """Run the client twice, the first time to warm up with a few photos, and read what Triton says of the second.

    Raises:
        CannotMeasureError: the client fails.
    """
    run_client(server, table, setting.folder / "warm-up", ("--limit", str(min(photos, 2 * BATCH))), deadline)
    before = executions(server.grpc_url)
    summary, use = run_client(server, table, setting.folder / "answers", (), deadline)
    after = executions(server.grpc_url)
    batches = {
        name: (after[stage][0] - before[stage][0]) / (after[stage][1] - before[stage][1])
        for stage, name in STAGES.items()
    }
    return Service(
        photos=int(summary["done_in_this_run"]),
        seconds=float(summary["seconds"]),
        mean_batch=batches,
        alone_ms=alone,
        memory_mb=use.memory_mb if use else None,
        utilisation=use.utilisation if use else None,
    )


def run_client(
    server: RunningServer, table: Path, output: Path, options: tuple[str, ...], deadline: float
) -> tuple[Mapping[str, float], GpuUse | None]:
    """Send a table through the ensemble; what `--summary` says, and the GPU's use meanwhile.

    Raises:
        CannotMeasureError: the client fails, or is not done in time.
    """
    summary = output.with_suffix(".json")
    # Random networks are sure of nothing: at a score of 0 no photo is refused for want of a person.
    arguments = ("--csv", table, "--output", output, "--url", server.grpc_url, "--summary", summary, "--quiet")
    command = [sys.executable, "client/run_csv.py", *map(str, arguments), "--score-threshold", "0", *options]
    samples: list[Gpus] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as client:
        while client.returncode is None:
            try:
                _, said = client.communicate(timeout=INTERVAL)
            except subprocess.TimeoutExpired:
                with suppress(OSError):  # a busy server may be late with one sample
                    samples.append(read_gpus(server.metrics_url))
                if left(deadline) < 0:
                    client.kill()
                    raise CannotMeasureError(
                        "The client was not done in time: give --minutes more, or --photos fewer."
                    ) from None
    if client.returncode != 0:
        raise CannotMeasureError(f"The client fails: {said.strip()[-500:]}")
    return json.loads(summary.read_text()), summarise(samples)


def executions(url: str) -> Mapping[str, tuple[int, int]]:
    """Photos and executions of each served network so far."""
    with triton.InferenceServerClient(url) as client:
        counts = {}
        for stage in STAGES:
            (statistics,) = client.get_inference_statistics(stage).model_stats
            counts[stage] = (int(statistics.inference_count), int(statistics.execution_count))
    return counts
