"""What Triton counts: what each model did between two moments, and an embedded server on free ports to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from benchmarks.rig.places import REPOSITORY
from server.derive import Machine, this_machine
from server.embedded import Options, RunningServer, embedded_server


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
