"""What the comparison prints: a table, what it comes to against the ideals, and why others may be faster."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.peers.registry import OURS
from benchmarks.peers.rounds import Comparison, Result
from benchmarks.report import Figure, machine

CORES = len(os.sched_getaffinity(0))
TITLE = "The same photos and networks, relit by others and by ours"
HEADINGS = ("", "where", "images/s", "÷ ours", "CPU-ms/image", "÷ ours", "MB on the wire", "peak MB", "what it is")


def table(comparison: Comparison) -> str:
    """The contestants in the order of their throughput, and those that are not compared, as Markdown."""
    found = {result.peer.name: result for result in comparison.results}
    ours = found[OURS]
    compared = sorted(
        (result for result in comparison.results if not result.failure), key=lambda r: -r.images_per_second
    )
    lines = [HEADINGS, ("---", "---", *["---:"] * 6, "---")]
    for result in compared:
        lines.append(
            (
                result.peer.name,
                where(result),
                f"{result.images_per_second:.2f}",
                f"{result.images_per_second / ours.images_per_second:.2f}",
                f"{1000 * result.cpu_per_image:.0f}",
                f"{result.cpu_per_image / ours.cpu_per_image:.2f}",
                f"{result.wire_bytes / 1e6:.2f}",
                f"{result.memory / 1e6:.0f}",
                result.peer.does,
            )
        )
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    left_out = [
        f"{result.peer.name} is not compared: {result.failure}." for result in comparison.results if result.failure
    ]
    return "\n".join([*rows, *(["", *left_out] if left_out else [])])


def figures(comparison: Comparison) -> list[Figure]:
    """Ours against the best of the others, each ratio with its ideal."""
    compared = [result for result in comparison.results if not result.failure]
    ours = next(result for result in compared if result.peer.name == OURS)
    found = []
    for on_the_wire in (True, False):
        others = [result for result in compared if result.on_the_wire == on_the_wire and result is not ours]
        if others:
            fastest = max(others, key=lambda result: result.images_per_second)
            thriftiest = min(others, key=lambda result: result.cpu_per_image)
            place = where(fastest)
            rate = ours.images_per_second / fastest.images_per_second
            cpu = ours.cpu_per_image / thriftiest.cpu_per_image
            found += [
                Figure(f"images/s, ours ÷ the fastest {place} ({fastest.peer.name})", rate, "ratio", "over 1"),
                Figure(f"CPU-ms, ours ÷ the least {place} ({thriftiest.peer.name})", cpu, "ratio", "under 1"),
            ]
    wire = ours.wire_bytes / comparison.file_bytes
    return [
        *found,
        Figure("cores kept busy by ours", busy(ours), "share", "1.00"),
        Figure("bytes on the wire, ours ÷ the files in and out", wire, "ratio", "1.00"),
    ]


def busy(result: Result) -> float:
    """CPU time of all processes ÷ what the cores had to give."""
    return result.median(lambda run: run.cpu_seconds / run.seconds) / CORES


def verdicts(comparison: Comparison) -> list[str]:
    """A sentence for each contestant that is faster than ours, with the reasons that the numbers give."""
    compared = [result for result in comparison.results if not result.failure]
    ours = next(result for result in compared if result.peer.name == OURS)
    faster = [result for result in compared if result.images_per_second > ours.images_per_second]
    return [
        f"{result.peer.name} ({where(result)}) makes {result.images_per_second / ours.images_per_second:.2f} times the "
        f"images/s of ours on {CORES} cores: {' and '.join(reasons(result, ours)) or 'nothing measured says why'}."
        for result in faster
    ]


def where(result: Result) -> str:
    """Whether photos and files travelled."""
    return "over the wire" if result.on_the_wire else "in process"


def reasons(faster: Result, ours: Result) -> list[str]:
    """Why one is faster than ours, as far as it was measured."""
    found = []
    saved = 1000 * (ours.cpu_per_image - faster.cpu_per_image)
    if saved > 0:
        causes = [] if faster.on_the_wire else [f"sends nothing (ours {ours.wire_bytes / 1e6:.1f} MB)"]
        if faster.peer.module != ours.peer.module:
            causes.append("copies no pixels between processes, one of which ours has for each network")
        found.append(" and ".join([f"it takes {saved:.0f} CPU-ms an image less", *causes]))
    if busy(faster) > busy(ours):
        found.append(f"it keeps {busy(faster):.0%} of the cores busy, ours {busy(ours):.0%}")
    return found


def to_json(comparison: Comparison) -> str:
    """Everything that was measured."""
    peers: list[dict[str, Any]] = []
    for result in comparison.results:
        content = asdict(result)
        if not result.failure:
            content["median"] = {
                "images_per_second": result.images_per_second,
                "cpu_ms_per_image": 1000 * result.cpu_per_image,
                "peak_memory_bytes": result.memory,
            }
        peers.append(content)
    found = [asdict(figure) for figure in figures(comparison)]
    return json.dumps({"title": TITLE, "machine": machine(), "figures": found, "peers": peers}, indent=2) + "\n"


def write_json(comparison: Comparison, file: Path) -> None:
    """Write it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_json(comparison))
