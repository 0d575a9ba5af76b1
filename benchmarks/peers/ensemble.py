"""Against our ensemble in the embedded server: synchronous calls of NVIDIA's client, a pool of them, and our client."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from benchmarks.peers.contestant import Contestant
from benchmarks.peers.job import IN_FLIGHT, PICTURES, PROMPT, THRESHOLDS, Job, Row
from client import run_csv
from server.derive import this_machine
from server.embedded import Options, embedded_server

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"


def tensor(name: str, value: NDArray[Any]) -> triton.InferInput:
    """An input of a request."""
    found = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
    found.set_data_from_numpy(value)
    return found


def relight(client: triton.InferenceServerClient, job: Job, row: Row) -> None:
    """One synchronous call, its files written."""
    inputs = [
        tensor("IMAGE", np.array([[job.path(row).read_bytes()]], object)),
        tensor("PROMPT", np.array([[PROMPT.encode()]], object)),
        tensor("THRESHOLDS", np.array([THRESHOLDS], np.float32)),
        tensor("LIGHT", np.array([[row.light]], np.float32)),
        tensor("FILES", np.array([[f"{','.join(PICTURES)};png".encode()]], object)),
    ]
    outputs = [triton.InferRequestedOutput(name.upper()) for name in PICTURES]
    answer = client.infer("relight", inputs, outputs=outputs)
    for name in PICTURES:
        job.picture(row, name).write_bytes(answer.as_numpy(name.upper())[0, 0])


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
    table = job.photos / f"{job.output.name}.csv"
    table.write_text("\n".join(("image_path", *(row.photo for row in job.rows))) + "\n")
    options = ["--files", ",".join(PICTURES), "--url", address, "--quiet"]
    code = run_csv.main(["--csv", str(table), "--output", str(job.output.parent), *options])
    if code:
        raise RuntimeError(f"run_csv ended with exit code {code}")


@contextmanager
def family(folder: Path) -> Iterator[Mapping[str, Contestant]]:
    """The three clients and the server they share."""
    machine, log = this_machine(gpus=0), folder / "triton.log"
    options = Options(REPOSITORY, machine, grpc_port=0, http_port=0, metrics_port=0, log=log)
    with embedded_server(options) as server:
        yield {
            "calls": Contestant(run_synchronously, server.grpc_url),
            "threads": Contestant(run_in_threads, server.grpc_url),
            "ours": Contestant(run_ours, server.grpc_url),
        }
