"""Fuzzes decode: damaged photos of every kind must give pixels of their own or a PhotoError, whatever came before.

Each batch is decoded twice, in processes of its own: forward after white photos and backward after black ones, with
memory that the C library fills with one value or the other (MALLOC_PERTURB_). A byte that no decoder wrote differs.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence

from tests.fuzz.mutations import mutate
from tests.fuzz.processes import outcomes
from tests.fuzz.report import Report
from tests.fuzz.samples import make_samples

_BATCH = 400  # photos a process
_WHITE, _BLACK = 255, 0


def fuzz(seed: int, seconds: float = math.inf, batches: float = math.inf) -> Report:
    """Damage and decode for so many seconds or batches; the same seed makes the same photos."""
    rng, samples = random.Random(seed), make_samples()
    report = Report("damaged photos, each decoded twice")
    end = time.monotonic() + seconds
    done = 0
    while done < batches and time.monotonic() < end:
        names = [rng.choice(list(samples)) for _ in range(_BATCH)]
        _decode_twice(names, [mutate(samples[name], rng) for name in names], report)
        done += 1
    return report


def _decode_twice(names: Sequence[str], photos: Sequence[bytes], report: Report) -> None:
    forward = _outcomes(photos, _WHITE, report)
    backward = _outcomes(photos[::-1], _BLACK, report)[::-1]
    for name, photo, one, other in zip(names, photos, forward, backward, strict=True):
        kind = one.partition(" ")[0]
        report.outcomes[name.partition(" ")[0], kind] += 1
        if kind == "failed":
            report.findings.append((f"{name}: {one}", photo))
        elif one != other and "ended" not in (kind, other.partition(" ")[0]):
            report.findings.append((f"{name}: {one} after white photos, {other} after black ones", photo))


def _outcomes(photos: Sequence[bytes], level: int, report: Report) -> list[str]:
    memory = {"MALLOC_PERTURB_": str(level or 1)}
    return outcomes("tests.fuzz.decode_process", photos, report, str(level), environment=memory)
