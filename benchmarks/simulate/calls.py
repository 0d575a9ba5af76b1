"""A pool of calls to a node's server, as deep as the server wants: what an actor of another engine is made of."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tritonclient.grpc as triton

from benchmarks.rig.lights import drawn
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.triton import ask_for, to_inputs
from benchmarks.simulate.job import Job
from contract.names import ENSEMBLE


class Calls:
    """Relights rows by NVIDIA's client over one connection, `window` at a time, and writes the files of each."""

    def __init__(self, job: Job) -> None:
        """Connect to the job's server; it has a window."""
        self._server, self._pool = triton.InferenceServerClient(job.url), ThreadPoolExecutor(job.window)
        self._photos, self._output = Path(job.folder), job.output
        self._outputs = [triton.InferRequestedOutput(name.upper()) for name in PICTURES]
        self._light = drawn("photo")  # drawing one for each photo is not what is compared

    def relight(self, rows: Sequence[tuple[int, str]]) -> list[tuple[float, float]]:
        """When each call was sent and its files written, seconds since the epoch; rows are numbers and photos.

        Raises InferenceServerException, OSError: the first row that fails, and with it the batch.
        """
        return list(self._pool.map(self._relight, rows))

    def _relight(self, row: tuple[int, str]) -> tuple[float, float]:
        number, photo = row
        inputs = to_inputs(ask_for((self._photos / photo).read_bytes(), [self._light]))
        sent = time.time()
        answer = self._server.infer(ENSEMBLE, inputs, outputs=self._outputs)
        for name in PICTURES:
            (self._output / f"{number:07d}_{name}.png").write_bytes(answer.as_numpy(name.upper())[0, 0])
        return sent, time.time()
