"""The sender: asks the `relight` ensemble of one server, a bounded number of calls at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from client.request import MODEL, photo_inputs, plain, requested_outputs, shared_inputs
from client.rows import RowError

_TRIES = 3
_BACK_OFF_SECONDS = 0.5
_PROBE_SECONDS = 5.0  # a server that is up answers these questions in milliseconds
_PASSING = {f"StatusCode.{s}" for s in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")}


class UnreachableError(Exception):
    """No server answers there, or it does not serve the ensemble; a sentence with the remedy."""


class StoppedError(Exception):
    """The run is ending: this row was not sent, or its call was dropped."""


@dataclass(frozen=True)
class Server:
    """What a server says about itself: how many calls keep it busy, and its models' versions."""

    window: int
    model_versions: dict[str, str]


def connect(url: str) -> Any:
    """A client of the server at `url` (host:port). Made inside a running event loop."""
    return triton.InferenceServerClient(url)  # its own default allows messages of 2 GB


async def find_server(client: Any, url: str, wait: float) -> Server:
    """Wait up to `wait` seconds until the ensemble is ready, and read what it says of itself.

    Raises UnreachableError.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            if await client.is_model_ready(MODEL, client_timeout=_PROBE_SECONDS):
                return await _describe(client)
            problem = f"the server at {url} does not have the model {MODEL} ready"
        except InferenceServerException as error:
            problem = f"no server answers at {url} ({error.message()})"
        if time.monotonic() >= deadline:
            raise UnreachableError(
                f"{problem}; start one with `python -m server`, name another with --url, or give "
                "it time with --wait-for-server SECONDS"
            )
        await asyncio.sleep(min(1.0, max(0.0, deadline - time.monotonic())))


class Sender:
    """Keeps at most `window` calls in flight, with the inputs every row shares built once."""

    def __init__(
        self,
        client: Any,
        *,
        window: int,
        timeout: float,
        thresholds: Sequence[float],
        files: str,
        pictures: Sequence[str],
    ) -> None:
        """`timeout` in seconds per call; `thresholds` are score and mask, each 0-1."""
        self._client = client
        self._timeout = timeout
        self._slots = asyncio.Semaphore(window)
        self._calls: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._shared = shared_inputs(thresholds, files)
        self._outputs = requested_outputs(pictures)

    @property
    def in_flight(self) -> int:
        """How many calls the server has not answered yet."""
        return len(self._calls)

    def inputs(self, image: bytes, prompt: str, light: NDArray[np.float32]) -> list[Any]:
        """The call's inputs: the photo's bytes, whom to find, LIGHT float32 [1, K, 16]. Safe in any thread."""
        return [*photo_inputs(image, prompt, light), *self._shared]

    async def send(self, inputs: list[Any]) -> Any:
        """One call, tried again where the failure may pass. Raises RowError, or StoppedError."""
        async with self._slots:
            for attempt in range(1, _TRIES + 1):
                try:
                    return await self._call(inputs)
                except InferenceServerException as error:
                    if error.status() not in _PASSING or attempt == _TRIES:
                        raise RowError(_reason(error)) from error
                await asyncio.sleep(_BACK_OFF_SECONDS * 2**attempt * random.uniform(0.5, 1.0))
        raise AssertionError("the last try answers or raises")

    def stop(self) -> None:
        """Send nothing more; what is in flight goes on."""
        self._stopping = True

    def drop(self) -> None:
        """Send nothing more, and wait for no answer."""
        self._stopping = True
        for call in self._calls:
            call.cancel()

    async def _call(self, inputs: list[Any]) -> Any:
        if self._stopping:
            raise StoppedError
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await self._client.infer(MODEL, inputs, outputs=self._outputs, client_timeout=self._timeout)
        except asyncio.CancelledError:
            if self._stopping:
                raise StoppedError from None
            raise
        finally:
            self._calls.discard(task)


def _reason(error: InferenceServerException) -> str:
    """Why a call failed, for the one who runs the command."""
    if error.status() == "StatusCode.DEADLINE_EXCEEDED":
        return "the server did not answer in time; raise --timeout or lower --window"
    if error.status() == "StatusCode.UNAVAILABLE":
        return f"the server went away ({plain(error)}); start it again and run the row again"
    return plain(error)


def window_of(configs: Sequence[Any]) -> int:
    """The calls that keep the busiest network full: twice its largest batch times its instances.

    Models of the Python backend (decode, encode) are left out: they have spare instances, to be waited for by nobody.
    """
    networks = [c for c in configs if c.backend != "python"] or configs
    busiest: int = max(max(1, c.max_batch_size) * _instances(c) for c in networks)
    return 2 * busiest


def _instances(config: Any) -> int:
    """How many instances run: a group on GPUs has `count` on each of them."""
    instances: int = sum(g.count * max(1, len(g.gpus)) for g in config.instance_group)
    return max(1, instances)


async def _describe(client: Any) -> Server:
    ensemble = await _config(client, MODEL)
    members = sorted({step.model_name for step in ensemble.ensemble_scheduling.step})
    configs = [await _config(client, name) for name in members]
    index = await client.get_model_repository_index(client_timeout=_PROBE_SECONDS)
    served = {
        model.name: model.version
        for model in sorted(index.models, key=lambda model: int(model.version or 0))
        if model.state == "READY" and model.name in {MODEL, *members}
    }
    return Server(window_of(configs or [ensemble]), served)


async def _config(client: Any, name: str) -> Any:
    return (await client.get_model_config(name, client_timeout=_PROBE_SECONDS)).config
