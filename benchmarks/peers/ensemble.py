"""Against our ensemble in the embedded server: synchronous calls of NVIDIA's client, a pool of them, and our client."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import tritonclient.grpc as triton

from benchmarks.peers.contestants import IN_FLIGHT, OURS, Contestant, Job
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.photos import write_table
from benchmarks.rig.triton import ask_for, serving, to_inputs
from client import run_csv
from contract.names import ENSEMBLE


def relight(client: triton.InferenceServerClient, job: Job, row: Row) -> None:
    """One synchronous call, its files written."""
    inputs = to_inputs(ask_for(job.path(row).read_bytes(), [row.light]))
    outputs = [triton.InferRequestedOutput(name.upper()) for name in PICTURES]
    answer = client.infer(ENSEMBLE, inputs, outputs=outputs)
    job.write(row, {name: answer.as_numpy(name.upper())[0, 0] for name in PICTURES})


def run_synchronously(job: Job, address: str) -> None:
    """One call after another."""
    with triton.InferenceServerClient(address) as client:
        for row in job.rows:
            relight(client, job, row)


def run_in_threads(job: Job, address: str) -> None:
    """A pool of such calls over one connection."""
    with triton.InferenceServerClient(address) as client, ThreadPoolExecutor(IN_FLIGHT) as pool:
        list(pool.map(partial(relight, client, job), job.rows))


def run_ours(job: Job, address: str) -> None:
    """`client/run_csv.py`; it writes the metadata of each photo besides."""
    table = write_table(job.photos / f"{job.output.name}.csv", [row.photo for row in job.rows], len(job.rows))
    options = ["--files", ",".join(PICTURES), "--url", address, "--quiet"]
    code = run_csv.main(["--csv", str(table), "--output", str(job.output.parent), *options])
    if code:
        raise RuntimeError(f"run_csv ended with exit code {code}")


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """The three clients and the server they share."""
    with serving(log=folder / "triton.log") as server:
        runs = {"calls": run_synchronously, "threads": run_in_threads, OURS: run_ours}
        yield {name: Contestant(run, server.grpc_url) for name, run in runs.items()}
