"""What each model did between two moments, from the difference of Triton's statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tritonclient.grpc import InferenceServerClient

from benchmarks.sweep.points import Stage


@dataclass(frozen=True)
class Counts:
    """What Triton has counted of one model since it was loaded; nanoseconds are sums.

    Attributes:
        photos: rows answered.
        executions: batches run.
        requests: answered; a request's queue_ns and compute_ns are its own and its whole batch's.
        queue_ns, compute_ns: summed over requests.
        batch_ns: time of the batches, each counted once.
    """

    photos: int
    executions: int
    requests: int
    queue_ns: int
    compute_ns: int
    batch_ns: int


def read_statistics(client: InferenceServerClient, models: Sequence[str]) -> dict[str, Counts]:
    """Ask Triton for each model's counts so far.

    Raises:
        InferenceServerException: the server does not answer.
    """
    return {model: read_counts(client, model) for model in models}


def read_counts(client: InferenceServerClient, model: str) -> Counts:
    """Ask Triton for one model's counts so far, all its versions together."""
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
