"""With Ray Data, in its own environment: a dataset of rows mapped in batches, a task per core."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data

from benchmarks import CORES, ROOT
from benchmarks.peers.contestants import BATCH, Contestant, Job
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import Networks, read_with_opencv, write_with_opencv
from contract.light import WIDTHS

OBJECT_STORE = 200_000_000  # bytes: only paths and lights go through it
networks = cache(partial(Networks, threads=1))  # of a task's process, which Ray keeps for the next task


def relight(batch: dict[str, np.ndarray[Any, Any]], job: Job) -> dict[str, np.ndarray[Any, Any]]:
    """Read, relight and write a batch of rows; their names."""
    rows = [
        Row(str(name), str(photo), {tensor: tuple(batch[tensor][index]) for tensor in WIDTHS})
        for index, (name, photo) in enumerate(zip(batch["name"], batch["photo"], strict=True))
    ]
    photos = [read_with_opencv(job.path(row).read_bytes()) for row in rows]
    for row, pictures in zip(rows, networks().relight(photos, [row.light for row in rows]), strict=True):
        job.write(row, {name: write_with_opencv(pixels) for name, pixels in pictures.items()})
    return {"name": batch["name"]}


def run(job: Job, address: str) -> None:
    """One pass over a dataset of the job's rows."""
    items = [
        {"name": row.name, "photo": row.photo, **{name: list(values) for name, values in row.light.items()}}
        for row in job.rows
    ]
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
