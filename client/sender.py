"""The sender: asks the `relight` ensemble of one server, a bounded number of calls at a time."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from client.rows import RowError

MODEL = "relight"
_TRIES = 3
_BACK_OFF_SECONDS = 0.5
_PROBE_SECONDS = 5.0  # a server that is up answers these questions in milliseconds
_PASSING = {f"StatusCode.{s}" for s in ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")}
# What Triton and its Python backend put around the sentence that a model raised.
_NOISE = re.compile(
    r"^(\[StatusCode\.\w+\]|in ensemble '[^']*',"
    r"|Failed to process the request\(s\) for model (instance )?'[^']*',( message:)?"
    r"|\w*(Error|Exception):)\s*"
)
_TRACE = re.compile(r"\s*\n\s*At:\s*\n.*", re.DOTALL)


class UnreachableError(Exception):
    """No server answers there, or it does not serve the ensemble; a sentence with the remedy."""


class StoppedError(Exception):
    """The run is ending: this row was not sent, or its call was dropped."""


@dataclass(frozen=True)
class Server:
    """What a server says about itself: how many calls keep it busy, and its models' versions."""

    window: int
    model_versions: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer: each picture's files, one per light or one, and the numbers behind them."""

    pictures: dict[str, list[bytes]]
    info: dict[str, Any]


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
        prompt: str,
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
        self._shared = [
            _text_input("PROMPT", prompt.encode()),
            _number_input("THRESHOLDS", np.array([thresholds], np.float32)),
            _text_input("FILES", files.encode()),
        ]
        names = [*(name.upper() for name in pictures), "INFO"]
        self._outputs = [triton.InferRequestedOutput(name) for name in names]

    @property
    def in_flight(self) -> int:
        """How many calls the server has not answered yet."""
        return len(self._calls)

    def inputs(self, image: bytes, light: NDArray[np.float32]) -> list[Any]:
        """The call's inputs: the photo's bytes and LIGHT float32 [1, K, 16]. Safe in any thread."""
        return [_text_input("IMAGE", image), _number_input("LIGHT", light), *self._shared]

    async def send(self, inputs: list[Any]) -> Any:
        """One call, tried again where the failure may pass. Raises RowError, or StoppedError."""
        async with self._slots:
            for attempt in range(1, _TRIES + 1):
                try:
                    return await self._call(inputs)
                except InferenceServerException as error:
                    if error.status() not in _PASSING or attempt == _TRIES:
                        raise RowError(plain(error)) from error
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


def unpack(answer: Any, counts: Mapping[str, int]) -> Reply:
    """The answer's files and INFO; `counts` says how many files each picture must have.

    Raises RowError where the server sent another number of them.
    """
    pictures = {}
    for name, count in counts.items():
        files: list[bytes] = answer.as_numpy(name.upper()).ravel().tolist()
        if len(files) != count or not all(files):
            raise RowError(
                f"the server sent {sum(map(bool, files))} {name} files instead of {count}; "
                "client and server are of different versions"
            )
        pictures[name] = files
    return Reply(pictures, json.loads(answer.as_numpy("INFO").ravel()[0]))


def plain(error: InferenceServerException) -> str:
    """The sentence inside a server's message, without what Triton wraps around it."""
    text = _TRACE.sub("", str(error.message() or error)).strip()
    if "Stub process" in text and "is not healthy" in text:
        return f"a Python process of the server has died ({text}); restart the server"
    if error.status() == "StatusCode.DEADLINE_EXCEEDED":
        return "the server did not answer in time; raise --timeout or lower --window"
    if error.status() == "StatusCode.UNAVAILABLE":
        return f"the server went away ({text}); start it again and run the row again"
    while match := _NOISE.match(text):
        text = text[match.end() :]
    return text or f"the server gave no reason ({error.status()})"


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


def _text_input(name: str, content: bytes) -> Any:
    tensor = triton.InferInput(name, [1, 1], "BYTES")
    return tensor.set_data_from_numpy(np.array([[content]], np.object_))


def _number_input(name: str, numbers: NDArray[np.float32]) -> Any:
    tensor = triton.InferInput(name, list(numbers.shape), "FP32")
    return tensor.set_data_from_numpy(numbers)
