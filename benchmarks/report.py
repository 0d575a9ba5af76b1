"""What every benchmark prints: the machine, then each figure with its ideal; and the same as JSON."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path


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
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def show(title: str, figures: list[Figure], file: Path | None) -> None:
    """Print the figures as a table and, if asked, write them to `file`."""
    print(f"{title}\n{machine()}\n")
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        print(f"{figure.name:<{width}}  {figure.value:>9.2f} {figure.unit:<10} ideal {figure.ideal}")
    if file is not None:
        content = {"title": title, "machine": machine(), "figures": [asdict(figure) for figure in figures]}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n")
