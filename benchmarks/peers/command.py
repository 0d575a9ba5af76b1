"""The same photos, networks and machine, relit by other ways of doing it and by ours: speed, CPU, memory, bytes."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.registry import OURS, PEERS, Peer, install_ray
from benchmarks.peers.rounds import compare
from benchmarks.peers.table import TITLE, figures, table, to_json, verdicts
from benchmarks.rig.arguments import Parser, names, number
from benchmarks.rig.report import show, write_json

INSTALL = "install-ray"


def main(arguments: Sequence[str]) -> int:
    """Compare and print; medians of the rounds. 1 where ours or an installation fails, 130 when interrupted."""
    line = Parser("peers", str(__doc__), "--peers onnx,litserve --json peers.json", f"`{INSTALL}` installs Ray Data")
    add, known = line.add_argument, [peer.name for peer in PEERS]
    add("action", nargs="?", choices=["compare", INSTALL], default="compare", help="what to do")
    add("--photos", type=number(int), default=64, metavar="N", help="1024² photos per round")
    add("--rounds", type=number(int), default=5, metavar="N", help="each contestant runs once in each")
    add("--peers", type=names(known), default=",".join(known), metavar="NAMES", help="ours and some of these")
    add("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = line.parse_args(arguments)
    if options.action == INSTALL:
        return install_ray()
    for signalled in (signal.SIGINT, signal.SIGTERM):  # a shell starts a background job with SIGINT ignored
        signal.signal(signalled, signal.default_int_handler)
    comparison = compare(
        chosen(options.peers), options.photos, options.rounds, say=lambda step: print(step, file=sys.stderr)
    )
    print(f"{table(comparison)}\n")
    show(TITLE, figures(comparison), None)
    print("", *verdicts(comparison), sep="\n")
    if options.json:
        write_json(options.json, to_json(comparison))
    return 0


def chosen(some: Sequence[str]) -> tuple[Peer, ...]:
    """Contestants by name, ours always among them."""
    return tuple(peer for peer in PEERS if peer.name in (*some, OURS))
