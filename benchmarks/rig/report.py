"""What every benchmark prints: the machine, then each figure with its ideal; the same as JSON; Markdown tables."""

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.rig.places import CORES


class BenchmarkError(Exception):
    """Nothing can be measured; the message says why and what to do."""


@dataclass(frozen=True)
class Figure:
    """One measured number; `ideal` is what it would be at best, in the same unit."""

    name: str
    value: float
    unit: str
    ideal: str


def machine() -> str:
    """Processor, usable cores and system, in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, {CORES} cores, Python {platform.python_version()}"


def show(title: str, figures: Sequence[Figure], file: Path | None) -> None:
    """Print the figures as a table and, if asked, write them to `file`."""
    print(f"{title}\n{machine()}\n")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        print(f"{figure.name:<{width}}  {figure.value:>9.2f} {figure.unit:<10} ideal {figure.ideal}")
    if file is not None:
        write_json(file, {"title": title, "machine": machine(), "figures": [asdict(figure) for figure in figures]})


def write_json(file: Path, content: Any) -> None:
    """Write a file at once: one that is interrupted leaves the file that was there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(file)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A Markdown table, the columns `numbers` aligned to the right; a | inside a cell is written as /."""
    right = set(numbers)
    rule = ["---:" if column in right else "---" for column in range(len(headings))]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in (headings, rule, *rows)
    )
