"""With Ray Data, in its own environment: a dataset of rows mapped in batches, a task per core."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data

from benchmarks.peers.contestant import Contestant
from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.networks import Networks, read_photo, write_png

ROOT = Path(__file__).resolve().parents[2]
CORES = len(os.sched_getaffinity(0))
OBJECT_STORE = 200_000_000  # bytes: only paths and lights go through it


@lru_cache(maxsize=1)
def networks() -> Networks:
    """The networks of a task's process, which Ray keeps for the next task."""
    return Networks(threads=1)


def relight(rows: dict[str, np.ndarray[Any, Any]], job: Job) -> dict[str, np.ndarray[Any, Any]]:
    """Read, relight and write a batch of rows; their names."""
    photos = [read_photo((job.photos / photo).read_bytes()) for photo in rows["photo"]]
    lights = np.array([list(light) for light in rows["light"]], np.float32)
    for row, pictures in zip(rows["name"], networks().relight(photos, lights), strict=True):
        for name, pixels in pictures.items():
            (job.output / f"{row}_{name}.png").write_bytes(write_png(pixels))
    return {"name": rows["name"]}


def run(job: Job, address: str) -> None:
    """One pass over a dataset of the job's rows."""
    items = [{"name": row.name, "photo": row.photo, "light": list(row.light)} for row in job.rows]
    blocks = max(CORES, -(-len(items) // BATCH))
    dataset = ray.data.from_items(items, override_num_blocks=min(blocks, len(items)))
    task = partial(relight, job=Job(job.photos, job.output, ()))
    done = dataset.map_batches(task, batch_size=BATCH, num_cpus=1).count()
    if done != len(items):
        raise RuntimeError(f"Ray Data has done {done} of {len(items)} rows")


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """A Ray of this machine's own."""
    ray.init(
        address="local",
        num_cpus=CORES,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        log_to_driver=False,
        _temp_dir=str(folder / "ray"),
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield {"ray": Contestant(run)}
    finally:
        ray.shutdown()
