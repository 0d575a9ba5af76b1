"""Can the path feed eight GPUs? Real client, server, decode and encode around networks that only take their time.

The GPUs, and how long batches wait for company, are slowed down until this machine's cores keep up. That flatters the
path's latency: decode, encode and the client take their time for a photo as ever, a smaller part of a slower GPU's.
With few GPUs (`--gpus 1`) the slowdown is small and latency counts almost in full. Batches of 16 on eight GPUs keep
384 photos in flight, which took 20 GB; `--batch 4` takes a fourth.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.report import Figure, show
from benchmarks.simulation.executions import busy_shares, mean_batch, useful_gpus
from benchmarks.simulation.repository import PRODUCTION
from benchmarks.simulation.run import Measured, SimulationError, simulate
from benchmarks.simulation.scenario import Scenario, fitting_slowdown
from benchmarks.simulation.timings import NETWORKS, TIMINGS_FILE, TimingsError, ideal_rate, read_timings
from server.derive import read_config
from server.installation import ServerError

_PATH = ("client", "tritonserver", "decode", "encode")
_DGX_H100_CORES = 112  # two Xeon 8480C beside eight H100, by NVIDIA's data sheet


def main(arguments: Sequence[str]) -> int:
    """Simulate and print."""
    options = parse_arguments(arguments)
    try:
        timings = read_timings(options.timings)
        batch = options.batch or read_config(PRODUCTION / "segment" / "config.pbtxt").max_batch_size
        slowdown = options.slowdown or fitting_slowdown(timings, options.gpus, batch)
        scenario = Scenario(options.gpus, batch, timings, slowdown, window=options.window, measure=options.measure)
        with tempfile.TemporaryDirectory() as folder:
            measured = simulate(scenario, Path(folder))
    except (ServerError, SimulationError, TimingsError) as error:
        print(error, file=sys.stderr)
        return 1
    title = (
        f"{scenario.gpus} simulated GPUs, batches of {batch}, {scenario.slowdown:g} times slower than "
        f"{options.timings.name} has them: {scenario.photos} photos of 1024²"
    )
    show(title, figures(scenario, measured), options.json)
    return 0


def figures(scenario: Scenario, measured: Measured) -> list[Figure]:
    """What was measured in the steady state, and what it means for GPUs that are not slowed down."""
    begin, end = measured.begin.time, measured.end.time
    executions, gpus, batch = measured.executions, scenario.gpus, scenario.batch
    busy = busy_shares(executions, begin, end)
    cost = {name: timing.seconds(batch) / batch * scenario.slowdown for name, timing in scenario.timings.items()}
    # As work, not as photos answered: those come in whole batches, and a run has not many of these.
    achieved = useful_gpus(executions, cost, begin, end) / gpus
    rate, whole = achieved * scenario.ideal, scenario.photos / measured.seconds
    used = {role: spent - measured.begin.cpu[role] for role, spent in measured.end.cpu.items()}
    cpu = {role: spent / (rate * (end - begin)) for role, spent in used.items()}
    path = sum(cpu[role] for role in _PATH)
    truth = ideal_rate(scenario.timings, gpus, batch)
    return [
        Figure("achieved ÷ ideal, by the GPUs' work", achieved, "ratio", "1.00"),
        Figure("photos of the steady state", rate, "photos/s", f"{scenario.ideal:.2f}"),
        Figure("photos of the whole run, filling and emptying too", whole, "photos/s", f"{scenario.ideal:.2f}"),
        Figure("busy, mean of the GPUs", sum(busy.values()) / gpus, "share", "1.00"),
        Figure("busy, the idlest GPU", min(busy.values()) if len(busy) == gpus else 0.0, "share", "1.00"),
        *(
            Figure(f"mean batch of {name}", mean_batch(executions, name, begin, end), "photos", f"{batch}")
            for name in NETWORKS
        ),
        *(Figure(f"CPU of {role}, a photo", cpu[role] * 1000, "CPU-ms", "-") for role in _PATH),
        Figure("CPU of the path, a photo", path * 1000, "CPU-ms", "-"),
        # Their copies of the tensors, which a backend in C++ does not make.
        Figure("CPU of the stand-ins, a photo", sum(cpu[name] for name in NETWORKS) * 1000, "CPU-ms", "-"),
        Figure("memory of the server", measured.memory / 1e9, "GB", "-"),
        Figure(f"the path at {truth:.0f} photos/s, not slowed", path * truth, "cores", f"under {_DGX_H100_CORES}"),
        Figure(f"the client at {truth:.0f} photos/s", cpu["client"] * truth, "processes", "-"),
    ]


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks simulate", description=__doc__)
    add = parser.add_argument
    add("--gpus", type=positive(int), default=8, metavar="N", help="to simulate (default: 8)")
    add("--batch", type=positive(int), metavar="N", help="largest batch (default: the configs', 16)")
    add("--slowdown", type=positive(float), metavar="FACTOR", help="of the GPUs (default: to half load these cores)")
    add("--measure", type=positive(int), default=2, metavar="N", help="windows of photos (default: 2)")
    add("--window", type=positive(int), metavar="N", help="calls in flight (default: what the client finds fit)")
    add("--timings", type=Path, default=TIMINGS_FILE, metavar="FILE", help="default: benchmarks/timings.toml")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args(arguments)


def positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    """A parser of numbers above 0."""

    def parsed(text: str) -> float:
        with contextlib.suppress(ValueError):
            if 0 < (number := kind(text)) < float("inf"):
                return number
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")

    return parsed
