"""Can the path feed the GPUs? Real client, server, decode and encode around networks that only take their time.

The GPUs, and how long batches wait to be filled, are slowed down until this machine's cores keep up. That flatters the
path's latency: decode, encode and the client take their time for a photo as ever, a smaller part of a slower GPU's.
`--events` computes the same without a server, in a second, for one GPU and a path that is as slow as beside a real one.
Batches of 16 on eight GPUs keep hundreds of photos in flight, which takes 20 GB; `--batch 4` takes a fourth.
"""

import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import REPOSITORY
from benchmarks.rig.report import BenchmarkError, Figure, Parser, names, number, show
from benchmarks.simulate import cluster, events, run, side_by_side
from benchmarks.simulate.timings import MEASURED, Timings, read_timings
from contract.names import NETWORKS
from server.derive import read_config

_PATH = ("client", "tritonserver", "decode", "encode")
_DGX_H100_CORES = 112  # two Xeon 8480C beside eight H100, by NVIDIA's data sheet
_CARRIED_ROWS = 100.0  # a second, of stand-in servers, clients and Ray together on two cores
_NODES_SECONDS = 30.0  # of a run of nodes, but for starting up
_MODEL_NODES = (1, 8, 64)  # for which the model is given
_EVENT_WINDOWS = 20  # of photos, for which events take a second


def main(arguments: Sequence[str]) -> int:
    """Simulate and print."""
    line = Parser("simulate", str(__doc__), "--batch 4")
    add = line.add_argument
    add("--events", action="store_true", help="compute one GPU without a server")
    add("--gpus", type=number(int), metavar="N", help="to simulate (default: 8, 1 with --events)")
    add("--batch", type=number(int), metavar="N", help="largest batch (default: the configs', 16)")
    add("--slowdown", type=number(float), metavar="FACTOR", help="of the GPUs (default: to half load these cores)")
    add("--measure", type=number(int), metavar="N", help="windows of photos (default: 2, 20 with --events)")
    add("--side", type=number(int), default=1024, metavar="PIXELS", help="of a photo (default: %(default)s)")
    add("--window", type=number(int), metavar="N", help="calls in flight (default: what the client finds fit)")
    add("--timings", type=Path, default=MEASURED, metavar="FILE", help="how long the networks take")
    add(
        "--sharing",
        type=number(float),
        metavar="SHARE",
        help="of a GPU's speed while networks share it; 1 with CUDA MPS",
    )
    add("--nodes", type=number(int), nargs="+", metavar="N", help="run so many nodes of --gpus on Ray, each by itself")
    add("--peers", type=names(side_by_side.PEERS), metavar="NAMES", help="beside --nodes: ray-data, nemo-curator")
    add("--rows", type=number(int), metavar="N", help="with --peers (default: 30 seconds' of busy nodes)")
    add("--no-turns", action="store_true", help="let the long networks share a GPU")
    options = line.parse_args(arguments)
    timings = read_timings(options.timings)
    timings = replace(timings, sharing=options.sharing or timings.sharing)
    options.batch = options.batch or read_config(REPOSITORY / "segment" / "config.pbtxt").max_batch_size
    if options.events:
        if options.gpus not in (None, 1):
            raise BenchmarkError("--events follows one GPU: leave --gpus out.")
        return show_events(options, timings)
    if options.peers and len(options.nodes or ()) != 1:
        raise BenchmarkError("--peers go with --nodes and one number.")
    if options.nodes:
        return show_nodes(options, timings)
    gpus = options.gpus or 8
    scenario = run.Scenario(
        gpus,
        options.batch,
        timings,
        options.slowdown or timings.fitting_slowdown(gpus, options.batch),
        side=options.side,
        window=options.window,
        measure=options.measure or 2,
        turns=not options.no_turns,
    )
    with tempfile.TemporaryDirectory() as folder:
        measured = run.simulate(scenario, Path(folder))
    title = (
        f"{gpus} simulated GPUs, batches of {scenario.batch}, {scenario.slowdown:g} times slower than "
        f"{options.timings.name} has them: {scenario.photos} photos of {scenario.side}²"
    )
    show(title, figures(scenario, measured), options.json)
    return 0


def show_events(options: Namespace, timings: Timings) -> int:
    """Follow photos on one GPU and print."""
    setup = events.read_setup(options.batch, options.window, not options.no_turns)
    photos = setup.window * (options.measure or _EVENT_WINDOWS)
    outcome = events.follow(timings, setup, photos)
    ideal = timings.ideal_rate(1, options.batch)
    taking = f"{' and '.join(sorted(setup.turns))} take turns" if setup.turns else "no turns"
    title = f"One GPU by events, {options.timings.name}, {setup.window} in flight, {taking}: {photos} photos"
    found = [
        Figure("achieved ÷ ideal", outcome.rate / ideal, "ratio", "1.00"),
        Figure("photos of the steady state", outcome.rate, "photos/s", f"{ideal:.2f}"),
        Figure("photos of the whole run, filling and emptying too", outcome.whole, "photos/s", f"{ideal:.2f}"),
        Figure("busy", outcome.busy, "share", "1.00"),
        *(Figure(f"mean batch of {name}", rows, "photos", f"{setup.batch}") for name, rows in outcome.batches.items()),
    ]
    show(title, found, options.json)
    return 0


def show_nodes(options: Namespace, timings: Timings) -> int:
    """Run the driver on as many nodes as --nodes has, add the model for more, and print."""
    gpus, setup = options.gpus or 8, events.read_setup(options.batch, options.window, not options.no_turns)
    rate = events.follow(timings, setup, setup.window * _EVENT_WINDOWS).rate
    nodes = [cluster.nodes_of(count, gpus, options.batch, rate) for count in options.nodes]
    slowdown = options.slowdown or max(1.0, max(options.nodes) * gpus * rate / _CARRIED_ROWS)
    title = f"Nodes of {gpus} GPUs of {rate:.1f} photos/s each, by {options.timings.name}, {slowdown:.0f} times slower"
    if options.peers:
        rows = options.rows or round(nodes[0].count * nodes[0].rate / slowdown * _NODES_SECONDS)
        show(title, side_by_side.compare(options.peers, nodes[0], gpus, options.batch, slowdown, rows), options.json)
        return 0
    further = [cluster.nodes_of(count, gpus, options.batch, rate) for count in _MODEL_NODES]
    measured = [cluster.run(one, gpus, options.batch, slowdown, _NODES_SECONDS) for one in nodes]
    driver = cluster.driver_cost(gpus, options.batch)
    show(title, cluster.figures(measured, driver, further), options.json)
    return 0


def figures(scenario: run.Scenario, measured: run.Measured) -> list[Figure]:
    """What was measured in the steady state, and what it means for GPUs that are not slowed down."""
    begin, end = measured.steady.begin, measured.steady.end
    executions, gpus, batch = measured.executions, scenario.gpus, scenario.batch
    busy = run.busy_shares(executions, begin, end)
    networks = scenario.timings.networks
    cost = {name: timing.seconds(batch) / batch * scenario.slowdown for name, timing in networks.items()}
    # As work, not as photos answered: those come in whole batches, and a run has not many of these.
    achieved = run.useful_gpus(executions, cost, begin, end) / gpus
    rate, whole = achieved * scenario.ideal, scenario.photos / measured.seconds
    cpu = {role: seconds / (rate * (end - begin)) for role, seconds in measured.steady.cpu.items()}
    path = sum(cpu[role] for role in _PATH)
    batches = {name: run.mean_batch(executions, name, begin, end) for name in NETWORKS}
    truth = scenario.timings.ideal_rate(gpus, batch)
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
