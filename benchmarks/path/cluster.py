"""What --ray costs on one machine: images/s beside a plain run's, and the driver's memory and time over many rows."""

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.path.client import cost, null_server, write_rows
from benchmarks.rig.report import Figure, Parser, number, show

ROWS = 12_000  # of a round
ROUNDS = 5
FEW, MANY = 10_000, 100_000  # rows of the two runs whose difference is the driver's memory
RAY = ("--ray", "local")


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    line = Parser("cluster", str(__doc__), "--rows 1000000 --json cluster.json")
    line.add_argument("--rows", type=number(int), default=MANY, metavar="N", help="of the long run, for its memory")
    line.add_argument("--rounds", type=number(int), default=ROUNDS, metavar="N", help="with and without Ray by turns")
    options = line.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, null_server(1000) as url:
        folder = Path(name)
        (folder / "photo.jpg").write_bytes(bytes(1000))
        table = write_rows(folder, ROWS)
        rounds = [both(table, url, ray_first=number % 2 == 0) for number in range(options.rounds)]
        ratios = [with_ray / plain for plain, with_ray in rounds]
        _, few, _ = cost(write_rows(folder, FEW), url, "--dataset", "null", *RAY)
        cpu, many, seconds = cost(write_rows(folder, options.rows), url, "--dataset", "null", *RAY)
    million = 1e6 / options.rows
    figures = [
        Figure("images/s of a plain run", statistics.median(plain for plain, _ in rounds), "images/s", "-"),
        Figure("images/s with --ray local", statistics.median(with_ray for _, with_ray in rounds), "images/s", "-"),
        Figure("with Ray ÷ plain, median of the rounds", statistics.median(ratios), "ratio", "at least 0.95"),
        Figure("  the lowest of them", min(ratios), "ratio", "-"),
        Figure("  the highest of them", max(ratios), "ratio", "-"),
        Figure(f"the driver's memory at {FEW:,} rows", few, "MB", "-"),
        Figure(f"memory that {options.rows:,} rows add", many - few, "MB", "under 20"),
        Figure("the driver's CPU per million rows", cpu * million, "CPU-s", "-"),
        Figure("time per million rows", seconds * million, "s", "-"),
    ]
    show("A run on Ray, against a server that does nothing", figures, options.json)
    return 0


def both(table: Path, url: str, *, ray_first: bool) -> tuple[float, float]:
    """Images/s of a plain run and of one with Ray, in turn the first: a machine that others use changes meanwhile."""
    if ray_first:
        with_ray = rate(table, url, *RAY)
        return rate(table, url), with_ray
    return rate(table, url), rate(table, url, *RAY)


def rate(table: Path, url: str, *options: str) -> float:
    """Images/s of the command over a table, from the first row to the last."""
    with tempfile.NamedTemporaryFile(suffix=".json") as summary:
        cost(table, url, "--dataset", "null", "--summary", summary.name, *options)
        return float(json.loads(Path(summary.name).read_text("utf-8"))["images_per_second"])
