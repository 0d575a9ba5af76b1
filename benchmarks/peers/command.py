"""The command `python -m benchmarks peers`: who takes part, how often, and what is printed."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import ray_environment
from benchmarks.peers.registry import OURS, PEERS, Peer
from benchmarks.peers.rounds import compare
from benchmarks.peers.session import PeerError
from benchmarks.peers.table import TITLE, figures, table, verdicts, write_json
from benchmarks.report import show

INSTALL = "install-ray"


def main(arguments: Sequence[str]) -> int:
    """Compare and print; medians of the rounds. 1 where ours or an installation fails, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks peers", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("action", nargs="?", choices=["compare", INSTALL], default="compare", help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=positive, default=64, metavar="N", help="1024² photos per round")
    parser.add_argument("--rounds", type=positive, default=5, metavar="N", help="each contestant runs once in each")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", type=chosen, default=",".join(names), metavar="NAMES", help="ours and some of these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    options = parser.parse_args(arguments)
    if options.action == INSTALL:
        return ray_environment.install()
    for number in (signal.SIGINT, signal.SIGTERM):  # both end it, in a background job too, which a shell starts deaf
        signal.signal(number, signal.default_int_handler)
    try:
        comparison = compare(
            options.peers, options.photos, options.rounds, say=lambda step: print(step, file=sys.stderr)
        )
    except PeerError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"{table(comparison)}\n")
    show(TITLE, figures(comparison), None)
    print("", *verdicts(comparison), sep="\n")
    if options.json:
        write_json(comparison, options.json)
    return 0


def positive(text: str) -> int:
    """A number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def chosen(text: str) -> tuple[Peer, ...]:
    """Contestants by name, ours always among them."""
    names = {name.strip() for name in text.split(",")} | {OURS}
    unknown = sorted(names - {peer.name for peer in PEERS})
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no {', '.join(unknown)}; choose from {', '.join(p.name for p in PEERS)}"
        )
    return tuple(peer for peer in PEERS if peer.name in names)
