"""The same photos, networks and machine, relit by other ways of doing it and by ours: speed, CPU, memory, bytes."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from benchmarks import CORES
from benchmarks.peers.contestants import OURS, PEERS, install_ray
from benchmarks.peers.rounds import Comparison, Result, compare
from benchmarks.rig.report import Figure, Parser, machine, markdown, names, number, show, write_json

INSTALL = "install-ray"
TITLE = "The same photos and networks, relit by others and by ours"
HEADINGS = ("", "where", "images/s", "÷ ours", "CPU-ms/image", "÷ ours", "MB on the wire", "peak MB", "what it is")


def table(comparison: Comparison) -> str:
    """The contestants in the order of their throughput, and those that are not compared, as Markdown."""
    ours = comparison.ours
    rows = [
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
        for result in sorted(comparison.compared, key=lambda result: -result.images_per_second)
    ]
    left_out = [f"{one.peer.name} is not compared: {one.failure}." for one in comparison.results if one.failure]
    return "\n".join([markdown(HEADINGS, rows, numbers=range(2, 8)), *(["", *left_out] if left_out else [])])


def figures(comparison: Comparison) -> list[Figure]:
    """Ours against the best of the others, each ratio with its ideal."""
    ours, found = comparison.ours, []
    for on_the_wire in (True, False):
        others = [one for one in comparison.compared if one.on_the_wire == on_the_wire and one is not ours]
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
    ours = comparison.ours
    return [
        f"{result.peer.name} ({where(result)}) makes {result.images_per_second / ours.images_per_second:.2f} times the "
        f"images/s of ours on {CORES} cores: {' and '.join(reasons(result, ours)) or 'nothing measured says why'}."
        for result in comparison.compared
        if result.images_per_second > ours.images_per_second
    ]


def where(result: Result) -> str:
    """Whether photos and files were sent to a server."""
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


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Everything that was measured."""
    peers: list[dict[str, Any]] = []
    for result in comparison.results:
        content = asdict(result)
        if not result.failure:
            speed, cost = result.images_per_second, 1000 * result.cpu_per_image
            median = {"images_per_second": speed, "cpu_ms_per_image": cost, "peak_memory_bytes": result.memory}
            content["median"] = median
        peers.append(content)
    found = [asdict(figure) for figure in figures(comparison)]
    return {"title": TITLE, "machine": machine(), "figures": found, "peers": peers}


def main(arguments: Sequence[str]) -> int:
    """Compare and print; medians of the rounds. 1 where ours or an installation fails, 130 when interrupted."""
    example, more = "--peers onnx,litserve --json peers.json", f"`{INSTALL}` installs Ray Data"
    line = Parser("peers", str(__doc__), example, more, "write every measurement there")
    add, known = line.add_argument, [peer.name for peer in PEERS]
    add("action", nargs="?", choices=["compare", INSTALL], default="compare", help="what to do")
    add("--photos", type=number(int), default=64, metavar="N", help="1024² photos per round")
    add("--rounds", type=number(int), default=5, metavar="N", help="each contestant runs once in each")
    add("--peers", type=names(known), default=",".join(known), metavar="NAMES", help="ours and some of these")
    options = line.parse_args(arguments)
    if options.action == INSTALL:
        return install_ray()
    for signalled in (signal.SIGINT, signal.SIGTERM):  # a shell starts a background job with SIGINT ignored
        signal.signal(signalled, signal.default_int_handler)
    peers = [peer for peer in PEERS if peer.name in (*options.peers, OURS)]
    comparison = compare(peers, options.photos, options.rounds, say=partial(print, file=sys.stderr))
    print(f"{table(comparison)}\n")
    show(TITLE, figures(comparison), None)
    print("", *verdicts(comparison), sep="\n")
    if options.json:
        write_json(options.json, to_json(comparison))
    return 0
