"""What is asked of Triton and what it says: requests, each model's counts, GPU memory; an embedded server to ask."""

import base64
import json
import re
import statistics
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

from benchmarks import REPOSITORY
from benchmarks.rig.lights import Light, Tensors, light_tensors
from benchmarks.rig.networks import PICTURES, THRESHOLDS
from server.derive import Machine, this_machine
from server.embedded import Options, RunningServer, embedded_server

PROMPT = "person"
FILES = f"{','.join(PICTURES)};png"
METRICS_SECONDS = 0.5  # between two readings; Triton itself reads as often with METRICS_ARGUMENT
METRICS_ARGUMENT = "--metrics-interval-ms=500"
LINE = r'(?m)^nv_gpu_(?P<name>utilization|memory_(used|total)_bytes)\{gpu_uuid="(?P<gpu>[^"]*)"\} (?P<value>\S+)$'
Gpus = Mapping[str, Mapping[str, float]]  # by UUID, then by the metric's name after nv_gpu_


@dataclass(frozen=True)
class Stage:
    """One model's part in a run, as Triton counts it."""

    queue_ms: float  # what a photo waited for its batch, mean
    compute_ms: float  # what a photo's batch took, its tensors' way in and out included, mean
    compute_ms_per_image: float  # the same divided among the batch's photos: what a photo costs an instance
    mean_batch: float  # photos per execution


@dataclass(frozen=True)
class Counts:
    """What Triton has counted of one model since it was loaded; nanoseconds are sums."""

    photos: int  # rows answered
    executions: int  # batches run
    requests: int  # answered; a request's queue_ns and compute_ns are its own and its whole batch's
    queue_ns: int  # summed over requests
    compute_ns: int  # summed over requests
    batch_ns: int  # time of the batches, each counted once


def read_counts(client: InferenceServerClient, model: str) -> Counts:
    """Ask Triton for one model's counts so far, all its versions together. Raises InferenceServerException."""
    versions = client.get_inference_statistics(model).model_stats
    sums = [version.inference_stats for version in versions]
    batches = [batch for version in versions for batch in version.batch_stats]
    return Counts(
        photos=sum(version.inference_count for version in versions),
        executions=sum(version.execution_count for version in versions),
        requests=sum(one.success.count for one in sums),
        queue_ns=sum(one.queue.ns for one in sums),
        compute_ns=sum(one.compute_input.ns + one.compute_infer.ns + one.compute_output.ns for one in sums),
        batch_ns=sum(one.compute_input.ns + one.compute_infer.ns + one.compute_output.ns for one in batches),
    )


def read_statistics(client: InferenceServerClient, models: Sequence[str]) -> dict[str, Counts]:
    """Ask Triton for each model's counts so far. Raises InferenceServerException."""
    return {model: read_counts(client, model) for model in models}


def compare(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, Stage]:
    """Turn two readings into what a photo met in each model that ran in between."""
    stages = {}
    for model, then in before.items():
        now = after[model]
        photos, requests = now.photos - then.photos, now.requests - then.requests
        if photos == 0 or requests == 0:
            continue
        stages[model] = Stage(
            queue_ms=(now.queue_ns - then.queue_ns) / requests / 1e6,
            compute_ms=(now.compute_ns - then.compute_ns) / requests / 1e6,
            compute_ms_per_image=(now.batch_ns - then.batch_ns) / photos / 1e6,
            mean_batch=photos / (now.executions - then.executions),
        )
    return stages


def serving(
    repository: Path = REPOSITORY,
    machine: Machine | None = None,
    *,
    log: Path | None = None,
    extra: Sequence[str] = (),
    start_timeout: float = Options.start_timeout,
) -> AbstractContextManager[RunningServer]:
    """The embedded server on free ports; without a `machine` on the CPU. Entering it raises ServerError."""
    machine = machine or this_machine(gpus=0)
    free = Options(repository, machine, grpc_port=0, http_port=0, metrics_port=0)
    return embedded_server(replace(free, log=log, extra=tuple(extra), start_timeout=start_timeout))


@dataclass(frozen=True)
class GpuUse:
    """What Triton's metrics said of the GPUs during a run."""

    memory_mb: float  # the most that was in use on the fullest GPU, everything loaded included, in 10⁶ bytes
    memory_total_mb: float  # what that GPU has, in 10⁶ bytes
    utilisation: float  # 0–1, the mean over time and GPUs


def read_gpus(metrics_url: str | None) -> Gpus:
    """Read the metrics page at host:port; nothing where there is none. Raises OSError: it does not answer."""
    if metrics_url is None:
        return {}
    with urllib.request.urlopen(f"http://{metrics_url}/metrics", timeout=5.0) as answer:
        return parse_metrics(answer.read().decode())


def parse_metrics(text: str) -> Gpus:
    """Read what Triton's metrics page says of each GPU: nothing on a CPU."""
    gpus: dict[str, dict[str, float]] = {}
    for match in re.finditer(LINE, text):
        gpus.setdefault(match["gpu"], {})[match["name"]] = float(match["value"])
    return gpus


def summarise(samples: Sequence[Gpus]) -> GpuUse | None:
    """The fullest GPU's peak and the mean utilisation; None where no sample names a GPU's memory and utilisation."""
    gpus = [gpu for sample in samples for gpu in sample.values() if len(gpu) == 3]
    if not gpus:
        return None
    fullest = max(gpus, key=lambda gpu: gpu["memory_used_bytes"] / gpu["memory_total_bytes"])
    return GpuUse(
        memory_mb=fullest["memory_used_bytes"] / 1e6,
        memory_total_mb=fullest["memory_total_bytes"] / 1e6,
        utilisation=statistics.fmean(gpu["utilization"] for gpu in gpus),
    )


def ask_for(photo: bytes, lights: Sequence[Light], prompt: str = PROMPT, files: str = FILES) -> Tensors:
    """The ensemble's inputs for one photo: its file's bytes, K lights, whom to cut out, what to encode and how."""
    texts = {"IMAGE": photo, "PROMPT": prompt.encode(), "FILES": files.encode(), "BACKDROP": b""}
    return {
        **{name: np.array([[text]], object) for name, text in texts.items()},
        "THRESHOLDS": np.array([THRESHOLDS], np.float32),
        **light_tensors([lights]),
    }


def to_inputs(tensors: Tensors) -> list[triton.InferInput]:
    """A request's inputs."""
    inputs = []
    for name, array in tensors.items():
        inputs.append(triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    return inputs


def write_input_data(file: Path, requests: Sequence[Tensors]) -> Path:
    """Write requests as perf_analyzer's --input-data; it sends them in turn."""
    data = [{name: _element(array[0]) for name, array in request.items()} for request in requests]
    file.write_text(json.dumps({"data": data}), "utf-8")
    return file


def _element(array: NDArray[Any]) -> dict[str, Any]:
    """One tensor without its batch dimension; b64 holds Triton's own bytes, for strings with a length before each."""
    content = serialize_byte_tensor(array).item() if array.dtype == np.object_ else array.tobytes()
    return {"b64": base64.b64encode(content).decode(), "shape": list(array.shape)}
