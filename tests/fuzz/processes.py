"""Gives inputs to a process of its own, which prints an outcome a line: the line that is missing is the crash."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.fuzz.report import Report
from tests.rig.places import ROOT

_SECONDS = 120.0  # until a process counts as hanging; it takes a few


def outcomes(
    module: str, inputs: Sequence[bytes], report: Report, *arguments: str, environment: Mapping[str, str] | None = None
) -> list[str]:
    """An outcome an input, in order, from `python -m module FILE …`.

    A process that ends early is a finding, and the next one goes on behind its input.
    """
    found: list[str] = []
    while len(found) < len(inputs):
        lines, end = _run(module, inputs[len(found) :], arguments, environment or {})
        found += lines
        if len(found) < len(inputs):
            report.findings.append((f"the process {end}", inputs[len(found)]))
            found.append("ended")
    return found


def read_inputs(file: Path) -> Iterator[bytes]:
    """The inputs in the file that such a process is given."""
    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at)
        yield content[at + 4 : at + 4 + length]
        at += 4 + length


def _run(
    module: str, inputs: Sequence[bytes], arguments: Sequence[str], environment: Mapping[str, str]
) -> tuple[list[str], str]:
    """The lines of one process, and how it ended."""
    with tempfile.TemporaryDirectory() as folder:
        file, lines = Path(folder) / "inputs", Path(folder) / "outcomes"
        file.write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in inputs))
        with lines.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(file), *arguments],
                stdout=out,
                stderr=subprocess.DEVNULL,  # libraries say there what they think of the inputs
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
                cwd=ROOT,
            )
            try:
                end = f"ended with {process.wait(_SECONDS)}"
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                end = f"hangs for {_SECONDS:g} s"
        return lines.read_text().splitlines(), end
