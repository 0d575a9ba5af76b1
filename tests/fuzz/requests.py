"""Fuzzes the server: a stock client's right and wrong tensors, to every model, must give answers or one sentence each.

Four clients send at once, so that wrong requests share batches with right ones. A known request is repeated between
them and must keep its answer, byte for byte; the server's memory must not grow.
"""

from __future__ import annotations

import math
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from benchmarks.sweep.session import follow
from contract.errors import plain
from contract.names import ENSEMBLE, MODELS
from server.derive import this_machine
from server.embedded import Options, RunningServer, embedded_server
from tests.fuzz.report import Report
from tests.fuzz.tensors import LARGEST, Request, Tensors, spoil, with_lights
from tests.rig.places import REPOSITORY, SAMPLES

_CLIENTS = 4
_SECONDS = 120.0  # for one answer
_SIDE = 96  # pixels of the photo
_TURNS = (*MODELS, ENSEMBLE)
_BETWEEN = 8  # requests of a client for each known one
_GROWTH = 1.15  # of the memory, from the second quarter of the time to the last
_CALLERS = ("StatusCode.INVALID_ARGUMENT", "400")  # statuses of what is the caller's fault, by gRPC and HTTP
_RAW = ("onnxruntime", "ONNXRuntimeError", "Traceback", "At:\n", "Error:", "std::")
_LONGEST = 400  # characters of a sentence


def fuzz(seed: int, seconds: float) -> Report:
    """Ask an embedded server for so many seconds."""
    options = Options(REPOSITORY, this_machine(gpus=0), grpc_port=0, http_port=0, metrics_port=0)
    with embedded_server(options) as server:
        return ask(server, seed, seconds)


def ask(server: RunningServer, seed: int, seconds: float, requests: float = math.inf) -> Report:
    """Send random requests to a running server for so many seconds, or so many of each client."""
    report, lock = Report("requests"), threading.Lock()
    right = right_tensors(server)
    known = Request(ENSEMBLE, right[ENSEMBLE])
    end = time.monotonic() + seconds
    with Client(server) as client:
        wanted = client.send(known, grpc=True)
        if math.isinf(requests):  # the runtime keeps the memory of the largest request: that one comes first
            judge(client, with_lights(known, LARGEST), grpc=True, wanted=None)

    def work(number: int) -> None:
        rng, sent = random.Random(seed * _CLIENTS + number), 0
        with Client(server) as client:
            while time.monotonic() < end and sent < requests and server.process.poll() is None:
                sent += 1
                model = _TURNS[(number + sent) % len(_TURNS)]
                request = spoil(Request(model, right[model]), rng) if sent % _BETWEEN else known
                kind, fault = judge(
                    client, request, grpc=rng.random() < 0.5, wanted=None if sent % _BETWEEN else wanted
                )
                with lock:
                    report.outcomes["known" if request is known else request.model, kind] += 1
                    if fault:
                        report.findings.append((f"{request}: {fault}", str(request).encode()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    memory = watch(server, threads, seconds)
    for thread in threads:
        thread.join()
    if server.process.poll() is not None:
        report.findings.append((f"the server ended with {server.process.poll()}", b""))
    told = ", ".join(f"{min(readings):,.0f}–{max(readings):,.0f}" for readings in memory if readings)
    report.notes.append(f"memory of the server by quarters of the time, MB: {told}")
    # What it falls back to, not what a large request takes for a moment. A few requests only warm it up.
    if math.isinf(requests) and min(memory[3]) > _GROWTH * min(memory[1]):
        report.findings.append(("the server's memory grows", b""))
    return report


def right_tensors(server: RunningServer) -> dict[str, Tensors]:
    """What each model is given of a small photo."""
    with tempfile.TemporaryDirectory() as folder, tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        photo = Path(folder) / "photo.png"
        with Image.open(SAMPLES / "astronaut.png") as image:
            image.convert("RGB").crop((96, 0, 352, 256)).resize((_SIDE, _SIDE)).save(photo)
        return follow(client, photo, "person")[0]


class Client:
    """A stock client by gRPC and one by HTTP."""

    def __init__(self, server: RunningServer) -> None:
        self._grpc = tritonclient.grpc.InferenceServerClient(server.grpc_url)
        self._http = tritonclient.http.InferenceServerClient(server.http_url, network_timeout=_SECONDS)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.close()
        self._http.close()

    def send(self, request: Request, *, grpc: bool) -> list[bytes]:
        """The outputs of a request, as bytes, in the order of their names. Raises InferenceServerException."""
        protocol: Any = tritonclient.grpc if grpc else tritonclient.http
        inputs = []
        for name, array in request.tensors.items():
            tensor = protocol.InferInput(name, list(array.shape), request.datatype(name))
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        outputs = [protocol.InferRequestedOutput(name) for name in request.outputs] or None
        if grpc:
            answer = self._grpc.infer(request.model, inputs, outputs=outputs, client_timeout=_SECONDS)
            names = sorted(output.name for output in answer.get_response().outputs)
        else:
            answer = self._http.infer(request.model, inputs, outputs=outputs)
            names = sorted(output["name"] for output in answer.get_response()["outputs"])
        return [str(answer.as_numpy(name).tolist()).encode() if name else b"" for name in names]


def judge(client: Client, request: Request, *, grpc: bool, wanted: list[bytes] | None) -> tuple[str, str]:
    """`answered`, `refused` or `failed`, and what is wrong with that, if anything; `wanted` is a known answer."""
    try:
        answer = client.send(request, grpc=grpc)
    except InferenceServerException as error:
        said = plain(error.message())
        if error.status() is None:
            return "not sent", ""  # by tritonclient itself
        if error.status() not in _CALLERS:
            return "failed", f"{error.status()} {said[:_LONGEST]}"
        if wanted is not None or "\n" in said or len(said) > _LONGEST or any(word in said for word in _RAW):
            return "failed", f"refused with {said[:_LONGEST]}"
        return "refused", ""
    except Exception as error:
        return "failed", f"{type(error).__name__} {error}"
    if wanted is not None and answer != wanted:
        return "failed", "another answer than at first"
    return "answered", ""


def watch(server: RunningServer, threads: list[threading.Thread], seconds: float) -> list[list[float]]:
    """The server's memory in MB, its readings in each quarter of the time."""
    start: float = time.monotonic()
    quarters: list[list[float]] = [[], [], [], []]
    while any(thread.is_alive() for thread in threads):
        quarter = min(3, int(4 * (time.monotonic() - start) / seconds))
        quarters[quarter].append(memory_of(server))
        time.sleep(0.5)
    return quarters


def memory_of(server: RunningServer) -> float:
    """Resident memory of Triton and its processes, without what they share, in MB."""
    total = 0.0
    try:
        triton = psutil.Process(server.process.pid)
        for process in (triton, *triton.children(recursive=True)):
            total += process.memory_full_info().uss / 1e6
    except psutil.NoSuchProcess:
        return 0.0
    return total
