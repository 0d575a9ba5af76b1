"""Can the path feed eight GPUs? Real client, server, decode and encode around networks that only take their time.

The GPUs, and how long batches wait to be filled, are slowed down until this machine's cores keep up. That flatters the
path's latency: decode, encode and the client take their time for a photo as ever, a smaller part of a slower GPU's.
With few GPUs (`--gpus 1`) the slowdown is small and latency counts almost in full. Batches of 16 on eight GPUs keep
384 photos in flight, which took 20 GB; `--batch 4` takes a fourth.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import REPOSITORY
from benchmarks.rig.report import Figure, Parser, number, show
from benchmarks.simulate import run
from contract.names import NETWORKS
from server.derive import read_config

_PATH = ("client", "tritonserver", "decode", "encode")
_DGX_H100_CORES = 112  # two Xeon 8480C beside eight H100, by NVIDIA's data sheet


def main(arguments: Sequence[str]) -> int:
    """Simulate and print."""
    line = Parser("simulate", str(__doc__), "--batch 4")
    add = line.add_argument
    add("--gpus", type=number(int), default=8, metavar="N", help="to simulate")
    add("--batch", type=number(int), metavar="N", help="largest batch (default: the configs', 16)")
    add("--slowdown", type=number(float), metavar="FACTOR", help="of the GPUs (default: to half load these cores)")
    add("--measure", type=number(int), default=2, metavar="N", help="windows of photos")
    add("--window", type=number(int), metavar="N", help="calls in flight (default: what the client finds fit)")
    add("--timings", type=Path, default=run.TIMINGS_FILE, metavar="FILE", help="how long the networks take")
    options = line.parse_args(arguments)
    timings = run.read_timings(options.timings)
    batch = options.batch or read_config(REPOSITORY / "segment" / "config.pbtxt").max_batch_size
    slowdown = options.slowdown or run.fitting_slowdown(timings, options.gpus, batch)
    scenario = run.Scenario(options.gpus, batch, timings, slowdown, window=options.window, measure=options.measure)
    with tempfile.TemporaryDirectory() as folder:
        measured = run.simulate(scenario, Path(folder))
    title = (
        f"{scenario.gpus} simulated GPUs, batches of {batch}, {scenario.slowdown:g} times slower than "
        f"{options.timings.name} has them: {scenario.photos} photos of 1024²"
    )
    show(title, figures(scenario, measured), options.json)
    return 0


def figures(scenario: run.Scenario, measured: run.Measured) -> list[Figure]:
    """What was measured in the steady state, and what it means for GPUs that are not slowed down."""
    begin, end = measured.steady.begin, measured.steady.end
    executions, gpus, batch = measured.executions, scenario.gpus, scenario.batch
    busy = run.busy_shares(executions, begin, end)
    cost = {name: timing.seconds(batch) / batch * scenario.slowdown for name, timing in scenario.timings.items()}
    # As work, not as photos answered: those come in whole batches, and a run has not many of these.
    achieved = run.useful_gpus(executions, cost, begin, end) / gpus
    rate, whole = achieved * scenario.ideal, scenario.photos / measured.seconds
    cpu = {role: seconds / (rate * (end - begin)) for role, seconds in measured.steady.cpu.items()}
    path = sum(cpu[role] for role in _PATH)
    batches = {name: run.mean_batch(executions, name, begin, end) for name in NETWORKS}
    truth = run.ideal_rate(scenario.timings, gpus, batch)
    return [
        Figure("achieved ÷ ideal, by the GPUs' work", achieved, "ratio", "1.00"),
        Figure("photos of the steady state", rate, "photos/s", f"{scenario.ideal:.2f}"),
        Figure("photos of the whole run, filling and emptying too", whole, "photos/s", f"{scenario.ideal:.2f}"),
        Figure("busy, mean of the GPUs", sum(busy.values()) / gpus, "share", "1.00"),
        Figure("busy, the idlest GPU", min(busy.values()) if len(busy) == gpus else 0.0, "share", "1.00"),
        *(Figure(f"mean batch of {name}", mean, "photos", f"{batch}") for name, mean in batches.items()),
        *(Figure(f"CPU of {role}, a photo", cpu[role] * 1000, "CPU-ms", "-") for role in _PATH),
        Figure("CPU of the path, a photo", path * 1000, "CPU-ms", "-"),
        # Their copies of the tensors, which a backend in C++ does not make.
        Figure("CPU of the stand-ins, a photo", sum(cpu[name] for name in NETWORKS) * 1000, "CPU-ms", "-"),
        Figure("memory of the server", measured.steady.memory / 1e9, "GB", "-"),
        Figure(f"the path at {truth:.0f} photos/s, not slowed", path * truth, "cores", f"under {_DGX_H100_CORES}"),
        Figure(f"the client at {truth:.0f} photos/s", cpu["client"] * truth, "processes", "-"),
    ]
