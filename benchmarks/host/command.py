"""The command `python -m benchmarks host`: its options, the order of the measurements, what is printed."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import measure_cpu
from benchmarks.host import pipeline
from benchmarks.host.decoders import compare_decoders
from benchmarks.host.encoders import compare_encoders, in_16_bits, read_pictures
from benchmarks.host.load import RunFailedError
from benchmarks.host.stages import REPOSITORY
from benchmarks.peers.command import positive
from benchmarks.peers.job import PICTURES
from benchmarks.peers.photos import write_photos
from benchmarks.perf_analyzer import PerfAnalyzerError, find_perf_analyzer
from benchmarks.report import Figure, show
from client.triton.connection import window_of
from server.derive import derive_all, this_machine
from server.embedded import Options, embedded_server
from server.installation import ServerError

TITLE = "The host path: 1024² photos, preset `classical`, medians of interleaved rounds"
PARTS = CLIENT, PIPELINE, PNG, DECODE = "client", "pipeline", "png", "decode"
SHOWN = 4  # photos whose pictures are encoded and whose files are decoded, one by one


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 1 where something cannot be measured, with a sentence on stderr, 130 when interrupted."""
    options = parse_arguments(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="host-") as name:
            found = measure(Path(name), options.parts, options.windows, options.rounds)
    except (ServerError, PerfAnalyzerError, RunFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    show(TITLE, found, options.json)
    return 0


def measure(folder: Path, parts: Sequence[str], windows: int, rounds: int) -> list[Figure]:
    """The figures of some of PARTS.

    Raises:
        ServerError, PerfAnalyzerError, RunFailedError: something does not run.
    """
    if PIPELINE in parts:
        find_perf_analyzer()  # its absence is no news after minutes
    machine = this_machine(gpus=0)
    configs = derive_all(REPOSITORY, machine).values()
    window = window_of([config for config in configs if config.platform != "ensemble"])
    needs_server = PIPELINE in parts or PNG in parts
    rows = write_photos(folder, windows * window if needs_server else SHOWN)
    found: list[Figure] = []
    client_alone = 0.0
    if CLIENT in parts or PIPELINE in parts:
        say("the client alone, against a server that does nothing")
        unwritten, client_alone = measure_cpu(folder, "--writer", "null"), measure_cpu(folder)
        name = "client alone, a photo of 0.26 MB in and 1.6 MB out"
        found += [
            Figure(name, unwritten * 1000, "CPU-ms", "under 3"),
            Figure("the same with its files written", client_alone * 1000, "CPU-ms", "-"),
        ]
    if needs_server:
        options = Options(REPOSITORY, machine, grpc_port=0, http_port=0, metrics_port=0, log=folder / "triton.log")
        with embedded_server(options) as server:
            say("what goes over the wire")
            wire, pictures = pipeline.measure_wire(server, folder, rows[:window], window, folder / "out")
            found += [Figure("bytes on the wire ÷ the files in and out", wire, "ratio", "1.00")]
            if PIPELINE in parts:
                measured = pipeline.measure_rounds(server, folder, rows, window, rounds, say)
                found += pipeline.figures(measured, client_alone)
        if PNG in parts:
            say("PNG: each picture with each encoder")
            shown = read_pictures(pictures, SHOWN, PICTURES)
            found += compare_encoders({**shown, **in_16_bits(shown)}, rounds)
    if DECODE in parts:
        say("decoding: each photo with each library")
        found += compare_decoders([(folder / row.photo).read_bytes() for row in rows[:SHOWN]], rounds)
    return found


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks host", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--windows", type=several, default=8, metavar="N", help="photos of a run, in windows of the client; 3 or more")
    add("--rounds", type=positive, default=5, metavar="N", help="how often everything is measured")
    add("--parts", type=chosen, default=PARTS, metavar="NAMES", help=f"some of {','.join(PARTS)}")
    add("--json", type=Path, metavar="FILE", default=argparse.SUPPRESS, help="write the figures there too")
    return parser.parse_args(arguments, argparse.Namespace(json=None))


def several(text: str) -> int:
    """A number of windows: while the first fills and the last empties nothing is measured."""
    if not text.isdecimal() or int(text) < 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 3")
    return int(text)


def chosen(text: str) -> tuple[str, ...]:
    """Some of PARTS."""
    names = tuple(name.strip() for name in text.split(","))
    if unknown := sorted(set(names) - set(PARTS)):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; choose from {', '.join(PARTS)}")
    return names


def say(step: str) -> None:
    """Tell how far the measurement is."""
    print(step, file=sys.stderr)
