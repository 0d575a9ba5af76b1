"""What the client costs: memory over a million rows, resuming a run of a million rows, CPU per photo."""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import ROOT
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.report import BenchmarkError, Figure, Parser, number, show
from client.input.source import Source
from client.light.columns import find_columns
from client.output.journal import DONE, Journal, read_journals
from client.output.numbering import Numbering

MILLION, FEW = 1_000_000, 1000
PHOTO_BYTES, ANSWER_BYTES = 260_000, 1_600_000  # a 1024² photo as JPEG; its relit picture and albedo as PNG
PHOTOS = (100, 500)  # rows of the two runs whose difference is the cost of a photo
ROUNDS = 3
# The command, and then what it has used. (What the kernel tells a parent of its child's peak includes its own.)
_COMMAND = """
import re, sys, time
from client.run_csv import main
code = main()
print(time.process_time(), re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(code)
"""


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    line = Parser("client", str(__doc__), "--rows 100000 --json client.json")
    line.add_argument("--rows", type=number(int), default=MILLION, metavar="N", help="of the long run, for its memory")
    options = line.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = cpu_figures("client", measure_cpu(folder, "--dataset", "null"), measure_cpu(folder))
        scan, plain = measure_scan(folder)
        (folder / "photo.jpg").write_bytes(os.urandom(1000))
        with null_server(1000) as url:
            _, few, _ = cost(write_rows(folder, FEW), url, "--dataset", "null")
            _, many, seconds = cost(write_rows(folder, options.rows), url, "--dataset", "null")
    figures = [
        *alone,
        Figure("one plain pass over a CSV of a million rows", plain, "CPU-s", "-"),
        Figure("finding that all of a million rows are done", scan, "CPU-s", "-"),
        Figure("finding ÷ plain pass", scan / plain, "ratio", "under 3"),
        Figure(f"memory at {FEW:,} rows", few, "MB", "-"),
        Figure(f"memory that {options.rows:,} rows add", many - few, "MB", "under 20"),
        Figure("rows of that run", options.rows / seconds, "rows/s", "-"),
    ]
    show("The client alone, against a server that does nothing", figures, options.json)
    return 0


def cpu_figures(name: str, unwritten: float, written: float) -> list[Figure]:
    """CPU-seconds per photo as figures."""
    return [
        Figure(f"{name}, a photo of 0.26 MB in and 1.6 MB out", unwritten * 1000, "CPU-ms", "under 3"),
        Figure("the same with its files written", written * 1000, "CPU-ms", "-"),
    ]


def measure_cpu(folder: Path, *options: str) -> float:
    """CPU-seconds per photo, read from a file and sent and answered; starting up is left out."""
    (folder / "photo.jpg").write_bytes(os.urandom(PHOTO_BYTES))
    with null_server(ANSWER_BYTES) as url:
        rounds = []
        for _ in range(ROUNDS):
            few, many = (cost(write_rows(folder, rows), url, *options)[0] for rows in PHOTOS)
            rounds.append((many - few) / (PHOTOS[1] - PHOTOS[0]))
    return statistics.median(rounds)


def measure_scan(folder: Path) -> tuple[float, float]:
    """CPU-seconds to find in the journal that every row of a million is done, and of a plain pass over their CSV."""
    table = write_rows(folder, MILLION)
    (folder / "journal").mkdir()
    journal = Journal(folder / "journal" / "000001.1of1.rows")
    source = Source(str(table))
    identify = source.identifier(find_columns(source.columns).places.values())
    for row in source.rows(Numbering(read_journals(folder / "journal"), identify)):
        journal.done(row.identity)
    journal.close()

    def find() -> None:
        numbering = Numbering(read_journals(folder / "journal"), identify, {DONE})
        assert not list(Source(str(table)).rows(numbering)), "all rows are done"

    def read() -> None:
        with table.open(newline="", encoding="utf-8") as stream:
            for _ in csv.reader(stream):
                pass

    return median_of(ROUNDS, find), median_of(ROUNDS, read)


def median_of(rounds: int, action: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """What one call takes by a clock, in seconds: CPU time of the process, or time.perf_counter."""
    times = []
    for _ in range(rounds):
        started = clock()
        action()
        times.append(clock() - started)
    return statistics.median(times)


def write_rows(folder: Path, rows: int) -> Path:
    """A CSV whose rows all name one photo, each with a seed of its own."""
    table = folder / f"rows{rows}.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image_path", "seed"))
        writer.writerows(("photo.jpg", index) for index in range(rows))
    return table


def cost(table: Path, url: str, *options: str) -> tuple[float, float, float]:
    """CPU-seconds, peak MB and seconds of the command over a table."""
    with tempfile.TemporaryDirectory() as output:
        arguments = ["--csv", str(table), "--output", output, "--url", url, "--quiet"]
        arguments += ["--files", ",".join(PICTURES), *options]
        started = time.perf_counter()
        process = subprocess.run([sys.executable, "-c", _COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if process.returncode:
            raise BenchmarkError(f"The client failed:\n{process.stderr}")
        cpu, peak = process.stdout.split()
        return float(cpu), int(peak) / 1024, seconds


@contextmanager
def null_server(size: int) -> Iterator[str]:
    """The address of a null server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.path.null_server", str(size)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
