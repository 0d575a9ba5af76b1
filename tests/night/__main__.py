"""A night in ten minutes: `python -m tests.night`. Photos go through while whatever can die is killed, then it counts.

Exit code 0 when every row is there once with its own photo in every picture, and no process has grown.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.night.faults import DISK, Night
from tests.night.photos import broken, read_number, write_photos
from tests.rig.places import REPOSITORY, ROOT
from tests.rig.plain_models import write_plain_models
from tests.rig.runs import lines, recorded

DISK_SIZE = "400m"
GROWTH_LIMIT = 1.25  # of a process, from its 20th second to its end
FILES = ("output", "albedo", "mask")


def main() -> int:
    """Spend a night in a mount namespace of its own, so that a disk of its own can be full."""
    parser = argparse.ArgumentParser(prog="python -m tests.night", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=5000)
    parser.add_argument("--pause", type=float, default=8.0, metavar="SECONDS", help="at least, between two faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mounted", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.mounted is None:
        with tempfile.TemporaryDirectory(prefix="night-") as folder:
            unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
            command = [sys.executable, "-m", "tests.night", *sys.argv[1:], "--mounted", folder]
            return subprocess.run([*unshare, *command], cwd=ROOT, check=False).returncode
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "night", given.mounted], check=True)
    return spend(given.mounted, given.photos, given.pause, given.seed)


def spend(disk: Path, photos: int, pause: float, seed: int) -> int:
    """Run the client to its end under faults; print what was done to it and what is wrong, and return an exit code."""
    with tempfile.TemporaryDirectory(prefix="night-") as name:
        folder = Path(name)
        models, table = write_plain_models(folder / "models", REPOSITORY), write_photos(folder, photos)
        with Night(folder, models, table, disk, random.Random(seed), pause) as night:
            began = time.monotonic()
            night.run()
            seconds = time.monotonic() - began
        said = (folder / "client.txt").read_text()
    for fault, times in sorted(night.faults.items()):
        print(f"{times:4d} × {fault}")
    growth = {kind: max(factors) for kind, factors in night.growth().items()}
    print(f"memory, largest growth of a process: {', '.join(f'{kind} × {most:.2f}' for kind, most in growth.items())}")
    findings = check(disk / "out", table, photos)
    findings += [f"{kind} grew to {most:.2f} times" for kind, most in growth.items() if most > GROWTH_LIMIT]
    findings += [f"the client said: {line}" for line in said.splitlines() if "Traceback" in line]
    findings += [] if night.faults[DISK] or photos < 1000 else ["the disk was never full"]
    print("\n".join(findings) or f"{photos} rows, each once, {len(FILES)} pictures of each with its number")
    print(f"{seconds:.0f} s, seed {seed}")
    return 1 if findings else 0


def check(output: Path, table: Path, photos: int) -> list[str]:
    """What is wrong with what a run has left: rows that are missing or there twice, pictures of another row."""
    times = Counter(recorded(output))
    findings = [f"row {row} is recorded {times[row]} times" for row in range(photos) if times[row] != 1]
    rows = lines(output / f"{table.stem}.csv")
    findings += [] if len(rows) == photos else [f"the table has {len(rows)} rows"]
    expected: set[Path] = set()
    for number, row in enumerate(rows):
        if broken(number) != bool(row["error"]):
            findings.append(f"row {number}: {row['error'] or 'no error for a broken photo'}")
        if row["error"]:
            continue
        first = output / row["output_image_path"]
        pictures = {name: first.with_name(first.name.replace("_output", f"_{name}")) for name in FILES}
        expected |= set(pictures.values())
        for name in ("output", "albedo"):
            if (found := read_number(pictures[name])) != number:
                findings.append(f"row {number}: {name} carries {found}")
    left = set(output.rglob("*.png")) - expected
    findings += [f"{file.name} belongs to no row" for file in sorted(left)]
    findings += [f"{file.name} was left behind" for file in output.rglob("*.partial")]
    return findings


if __name__ == "__main__":
    sys.exit(main())
