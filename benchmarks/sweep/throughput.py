"""Images per second from Triton's own count of answers.

perf_analyzer's figure is not used: with --request-count its clock runs from the first request, when the models are
empty, to the next full second after the last answer. A short point would look slower than it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tritonclient.grpc import InferenceServerClient

INTERVAL = 0.02  # seconds between two readings: what a duration may be wrong by


@dataclass(frozen=True)
class Reading:
    """How many requests a model has answered, and when that was read (seconds of a monotonic clock)."""

    seconds: float
    answers: int


def read_answers(client: InferenceServerClient, model: str) -> Reading:
    """Ask Triton how many requests a model has answered since it was loaded.

    Raises:
        InferenceServerException: the server does not answer.
    """
    versions = client.get_inference_statistics(model).model_stats
    return Reading(time.monotonic(), sum(version.inference_stats.success.count for version in versions))


def rate(readings: Sequence[Reading], concurrency: int, requests: int) -> float | None:
    """Answers per second while as many requests were in flight as ever; None when that was too short to tell.

    The first answers to `concurrency` requests and the last are left out: until then the models fill, and from then on
    they run empty. At both ends of what remains work is under way alike, so that it is the pace of a long run.

    Args:
        readings: the first from before any answer.
        concurrency: requests in flight.
        requests: answered in all.
    """
    start = readings[0].answers
    news = [now for before, now in pairwise(readings) if now.answers > before.answers]
    steady = [reading for reading in news if concurrency <= reading.answers - start <= requests - concurrency]
    if len(steady) < 2:
        return None
    return (steady[-1].answers - steady[0].answers) / (steady[-1].seconds - steady[0].seconds)
