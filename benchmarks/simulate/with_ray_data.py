"""The table by Ray Data as its users write it: batches for an actor on each node, results in Parquet.

`python -m benchmarks.simulate.with_ray_data JOB`, a Job as JSON.
"""

import logging
import sys
from typing import Any

import numpy as np
import ray
import ray.data
from ray.data import ActorPoolStrategy

from benchmarks import ROOT
from benchmarks.simulate.calls import Calls
from benchmarks.simulate.cluster import BLOCK_ROWS
from benchmarks.simulate.job import Job

_BLOCKS = 3  # that an actor works on at a time: the calls of the next fill the places that the last ones of one leave


class CallServer:
    """The actor of a node."""

    def __init__(self, job: Job) -> None:
        """Connect."""
        self._calls = Calls(job)

    def __call__(self, batch: dict[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
        """The batch and when its calls were sent and finished."""
        rows = zip(batch["seed"].tolist(), batch["image_path"].tolist(), strict=True)
        sent, done = zip(*self._calls.relight(list(rows)), strict=True)
        return {**batch, "sent": np.array(sent), "done": np.array(done)}


def main(job: Job) -> None:
    """Relight the table."""
    ray.init(
        address=job.address,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    table = ray.data.read_csv(str(job.table), override_num_blocks=-(-job.rows // BLOCK_ROWS))
    pool = ActorPoolStrategy(size=job.nodes, max_concurrent_calls_per_actor=_BLOCKS, enable_true_multi_threading=True)
    results = table.map_batches(
        CallServer,
        fn_constructor_args=(job,),
        batch_size=BLOCK_ROWS,
        compute=pool,
        num_cpus=1,
        scheduling_strategy="SPREAD",
    )
    results.write_parquet(str(job.results))


if __name__ == "__main__":
    main(Job.parse(sys.argv[1]))
