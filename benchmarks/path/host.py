"""The path around the networks against its ideals: client, wire, whole pipeline, PNG files, decoding, scaling."""

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks import REPOSITORY
from benchmarks.path import pipeline
from benchmarks.path.client import cpu_figures, measure_cpu
from benchmarks.path.decoders import compare_decoders, compare_sizes
from benchmarks.path.encoders import compare_encoders, in_16_bits, read_pictures
from benchmarks.rig.codecs import read_photo
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.perf_analyzer import find_perf_analyzer
from benchmarks.rig.photos import write_photos
from benchmarks.rig.report import Figure, Parser, names, number, show
from benchmarks.rig.triton import serving
from client.triton.connection import window_of
from server.derive import derive_all, this_machine

TITLE = "The host path: 1024² photos, the default preset, medians of interleaved rounds"
PARTS = CLIENT, PIPELINE, PNG, DECODE, SCALE = "client", "pipeline", "png", "decode", "scale"
say = partial(print, file=sys.stderr)  # how far the measurement is
SHOWN = 4  # photos whose pictures are encoded and whose files are decoded, one by one


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    line = Parser("host", str(__doc__), "--parts pipeline,png --json host.json")
    add = line.add_argument
    add("--windows", type=number(int, above=2), default=8, metavar="N", help="of the client for a run; 3 or more")
    add("--rounds", type=number(int), default=5, metavar="N", help="how often everything is measured")
    add("--parts", type=names(PARTS), default=",".join(PARTS), metavar="NAMES", help="what to measure")
    options = line.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="host-") as name:
        found = measure(Path(name), options.parts, options.windows, options.rounds)
    show(TITLE, found, options.json)
    return 0


def measure(folder: Path, parts: Sequence[str], windows: int, rounds: int) -> list[Figure]:
    """The figures of some of PARTS. Raises ServerError, BenchmarkError: something does not run."""
    if PIPELINE in parts:
        find_perf_analyzer()  # minutes later its absence would be no news
    configs = derive_all(REPOSITORY, this_machine(gpus=0)).values()
    window = window_of([config for config in configs if config.platform != "ensemble"])
    needs_server = PIPELINE in parts or PNG in parts
    rows = write_photos(folder, windows * window if needs_server else SHOWN)
    found: list[Figure] = []
    client_alone = 0.0
    if CLIENT in parts or PIPELINE in parts:
        say("the client alone, against a server that does nothing")
        unwritten, client_alone = measure_cpu(folder, "--dataset", "null"), measure_cpu(folder)
        found += cpu_figures("client alone", unwritten, client_alone)
    if needs_server:
        with serving(log=folder / "triton.log") as server:
            say("what goes over the wire")
            wire, pictures = pipeline.measure_wire(server, folder, rows[:window], folder / "out")
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
    if SCALE in parts:
        say("decoding: large photos, as they are and scaled")
        found += compare_sizes(read_photo((folder / rows[0].photo).read_bytes()), rounds)
    return found
