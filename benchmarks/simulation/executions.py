"""What the stand-ins wrote on their GPUs' files: when each GPU was busy, with which network and how many photos."""

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Execution:
    """A batch on a GPU; times are seconds since the epoch."""

    gpu: str
    network: str
    rows: int
    started: float
    ended: float


def read_executions(gpus: Path) -> list[Execution]:
    """All executions on the files of a folder, those of one GPU in order."""
    return [
        Execution(gpu=file.stem, **json.loads(line))
        for file in sorted(gpus.glob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]


def busy_shares(executions: Iterable[Execution], begin: float, end: float) -> dict[str, float]:
    """For each GPU the share of the time from `begin` to `end` in which it computed, 0–1."""
    shares: dict[str, float] = {}
    for one in executions:
        shares[one.gpu] = shares.get(one.gpu, 0.0) + overlap(one, begin, end) / (end - begin)
    return shares


def useful_gpus(executions: Iterable[Execution], cost: Mapping[str, float], begin: float, end: float) -> float:
    """How many GPUs, always busy with full batches, would have done the same from `begin` to `end`.

    cost: seconds of a GPU for one photo of a full batch, by network. A batch that was begun counts by its share.
    """
    work = sum(
        one.rows * cost[one.network] * overlap(one, begin, end) / (one.ended - one.started) for one in executions
    )
    return work / (end - begin)


def overlap(one: Execution, begin: float, end: float) -> float:
    """The seconds of an execution that lie between `begin` and `end`."""
    return max(0.0, min(one.ended, end) - max(one.started, begin))


def mean_batch(executions: Iterable[Execution], network: str, begin: float, end: float) -> float:
    """The mean rows of a network's executions that started from `begin` to `end`; NaN where there were none."""
    rows = [one.rows for one in executions if one.network == network and begin <= one.started < end]
    return statistics.fmean(rows) if rows else float("nan")
