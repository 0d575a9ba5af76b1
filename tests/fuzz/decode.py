"""Fuzzes decode: damaged photos of every kind must give pixels of their own or a PhotoError, whatever came before.

Each batch is decoded twice, in processes of its own: forward after white photos and backward after black ones, with
memory that the C library fills with one value or the other (MALLOC_PERTURB_). A byte that no decoder wrote differs.
"""

from __future__ import annotations

import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.mutations import mutate
from tests.fuzz.samples import make_samples
from tests.rig.places import ROOT

_BATCH = 400  # photos a process
_SECONDS = 120.0  # until a process counts as hanging; it takes a few
_WHITE, _BLACK = 255, 0


@dataclass
class Report:
    """What came of the photos."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)  # of (format, pixels | refused) → how many
    findings: list[tuple[str, bytes]] = field(default_factory=list)  # what is wrong, and the photo that shows it

    def lines(self) -> list[str]:
        """Counts by format, then the findings."""
        formats = sorted({name for name, _ in self.outcomes})
        table = [
            f"{name:8} {self.outcomes[name, 'pixels']:8,} pixels {self.outcomes[name, 'refused']:8,} refused"
            for name in formats
        ]
        total = f"{sum(self.outcomes.values()):,} damaged photos, each decoded twice, {len(self.findings)} findings"
        return [*table, total, *(what for what, _ in self.findings)]


def fuzz(seed: int, seconds: float = math.inf, batches: float = math.inf) -> Report:
    """Damage and decode for so many seconds or batches; the same seed makes the same photos."""
    rng, report, samples = random.Random(seed), Report(), make_samples()
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
    """An outcome a photo, in order; a process that ends is a finding, and the next one goes on behind its photo."""
    outcomes: list[str] = []
    while len(outcomes) < len(photos):
        lines, end = _run(photos[len(outcomes) :], level)
        outcomes += lines
        if len(outcomes) < len(photos):
            report.findings.append((f"the process {end}", photos[len(outcomes)]))
            outcomes.append("ended")
    return outcomes


def _run(photos: Sequence[bytes], level: int) -> tuple[list[str], str]:
    """The lines of one process, and how it ended."""
    environment = {**os.environ, "MALLOC_PERTURB_": str(level or 1), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        file, lines = Path(folder) / "photos", Path(folder) / "outcomes"
        file.write_bytes(b"".join(struct.pack("<I", len(photo)) + photo for photo in photos))
        with lines.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.decode_process", str(file), str(level)],
                stdout=out,
                stderr=subprocess.DEVNULL,  # libpng says there what it thinks of the photos
                env=environment,
                cwd=ROOT,
            )
            try:
                code = process.wait(_SECONDS)
                end = f"ended with {code}"
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                end = f"hangs for {_SECONDS:g} s"
        return lines.read_text().splitlines(), end
