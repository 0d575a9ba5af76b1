"""Sends damaged inputs to one part of the project for some minutes: `python -m tests.fuzz decode --minutes 10`.

What breaks something is kept in out/fuzz/; exit code 1 if anything does.
"""

import argparse
from pathlib import Path

from contract.command import run
from tests.fuzz import decode, requests, table
from tests.rig.places import ROOT

TARGETS = {"decode": decode.fuzz, "csv": table.fuzz, "requests": requests.fuzz}


def main() -> int:
    """Fuzz one target, print counts and findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long, default 1")
    parser.add_argument("--seed", type=int, default=0, help="which inputs are made, default 0")
    parser.add_argument("--keep", type=Path, default=ROOT / "out" / "fuzz", help="where findings go, default out/fuzz")
    arguments = parser.parse_args()
    report = TARGETS[arguments.target](arguments.seed, 60 * arguments.minutes)
    print("\n".join(report.lines()))
    for index, (_, content) in enumerate(report.findings):
        arguments.keep.mkdir(parents=True, exist_ok=True)
        (arguments.keep / f"{arguments.target}-{arguments.seed}-{index:03d}").write_bytes(content)
    return 1 if report.findings else 0


if __name__ == "__main__":
    run(main)
