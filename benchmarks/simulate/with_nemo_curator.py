"""The table by NeMo Curator: a stage of its API around the same calls, on its executor for Ray Data.

`python -m benchmarks.simulate.with_nemo_curator JOB`, a Job as JSON. It reads no CSV: the driver does.
"""

import os
import sys
from typing import Any

import pandas
from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import DocumentBatch

from benchmarks.simulate.calls import Calls
from benchmarks.simulate.cluster import BLOCK_ROWS
from benchmarks.simulate.job import Job

_TASKS = 5  # of a batch, whose calls are in flight together: the executor does one batch after another


class CallServer(ProcessingStage[DocumentBatch, DocumentBatch]):  # type: ignore[misc]  # its package has no types here
    """The actor of a node."""

    name = "call_server"
    resources = Resources(cpus=1.0)
    batch_size = _TASKS

    def __init__(self, job: Job) -> None:
        self._job = job

    def inputs(self) -> tuple[list[str], list[str]]:
        """What a task must have."""
        return ["data"], ["image_path", "seed"]

    def outputs(self) -> tuple[list[str], list[str]]:
        """What it has afterwards."""
        return ["data"], ["image_path", "seed", "sent", "done"]

    def num_workers(self) -> int:
        """An actor for each node."""
        return self._job.nodes

    def setup(self, worker_metadata: Any = None) -> None:
        """Connect."""
        job = self._job
        self._calls = Calls(job)

    def process(self, task: DocumentBatch) -> DocumentBatch:
        """One task."""
        return self.process_batch([task])[0]

    def process_batch(self, tasks: list[DocumentBatch]) -> list[DocumentBatch]:
        """Relight the rows of several tasks together, and write the results of each."""
        tables = [task.to_pandas() for task in tasks]
        rows = [row for table in tables for row in zip(table["seed"], table["image_path"], strict=True)]
        moments = iter(self._calls.relight(rows))
        for task, table in zip(tasks, tables, strict=True):
            sent, done = zip(*(next(moments) for _ in range(len(table))), strict=True)
            task.data = table.assign(sent=sent, done=done)
            task.data.to_parquet(self._job.results / f"{table['seed'].iloc[0]:07d}.parquet")
        return tasks


def main(job: Job) -> None:
    """Relight the table."""
    os.environ["RAY_ADDRESS"] = job.address
    job.results.mkdir()
    tasks = [DocumentBatch("rows", table) for table in pandas.read_csv(job.table, chunksize=BLOCK_ROWS)]
    Pipeline("relight", stages=[CallServer(job)]).run(RayDataExecutor(ignore_head_node=True), tasks)


if __name__ == "__main__":
    main(Job.parse(sys.argv[1]))
