"""Many nodes of GPUs on one machine: the real driver and Ray's real tasks, and servers that take a GPU's time.

Up to as many nodes as this machine's cores carry; for more, a model with what the driver was measured to cost.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.rig.photos import write_table
from benchmarks.rig.processes import client_command, cpu_of, observe
from benchmarks.rig.report import Figure
from client.triton.connection import BATCHES_ON_GPUS

BLOCK_ROWS = 200  # that a node gets at a time, as in client/run/cluster/blocks.py
MILLION = 1_000_000
_LOOK_SECONDS = 0.5
_DRIVER_ROWS = (2000, 12_000)  # of the two runs whose difference is the driver's cost of a row
_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


@dataclass(frozen=True)
class Nodes:
    """Nodes that are alike, in truth."""

    count: int
    rate: float  # photos/s of each
    seconds: float  # from a call to its answer

    def needed(self, rows: int, driver: float) -> float:
        """Seconds from the first answer on, for so many rows where each costs the driver `driver` seconds.

        At the end the other nodes wait for the last one, half of a block's time on average.
        """
        waiting = (1.0 - 1.0 / self.count) * BLOCK_ROWS / (2.0 * self.rate)
        return max(rows * driver, rows / (self.count * self.rate)) + waiting

    def efficiency(self, rows: int, driver: float) -> float:
        """What the nodes would need if always busy ÷ what is needed."""
        return rows / (self.count * self.rate) / self.needed(rows, driver)


def nodes_of(count: int, gpus: int, batch: int, gpu_rate: float) -> Nodes:
    """Nodes of GPUs that make `gpu_rate` photos/s each while the client keeps them full."""
    return Nodes(count, gpus * gpu_rate, BATCHES_ON_GPUS * batch / gpu_rate)


@dataclass(frozen=True)
class Measured:
    """A run of the real driver."""

    nodes: Nodes  # as they were, slowed down
    rows: int
    rate: float  # photos/s
    driver: float  # its CPU-seconds


def run(nodes: Nodes, gpus: int, batch: int, slowdown: float, seconds: float) -> Measured:
    """Run the real driver, Ray and clients for about so many `seconds` on nodes that are slowed down.

    So are the calls in flight, not the time to an answer, of which Ray and the clients know nothing.

    Raises BenchmarkError: the client fails, as one without --ray does.
    """
    window = max(8, round(nodes.rate * nodes.seconds / slowdown))
    slow = Nodes(nodes.count, nodes.rate / slowdown, window * slowdown / nodes.rate)
    return run_client(slow, gpus, batch, round(nodes.count * slow.rate * seconds), "--window", str(window))


def driver_cost(gpus: int, batch: int) -> float:
    """The driver's CPU-seconds a row on a node that answers at once. Raises BenchmarkError as `run`."""
    few, many = (run_client(Nodes(1, math.inf, 0.0), gpus, batch, rows) for rows in _DRIVER_ROWS)
    return (many.driver - few.driver) / (many.rows - few.rows)


def run_client(nodes: Nodes, gpus: int, batch: int, rows: int, *options: str) -> Measured:
    """Run the command on Ray over so many rows."""
    driver = 0.0

    def look(process: int) -> None:
        nonlocal driver
        driver = max(driver, cpu_of(psutil.Process(process)))

    with tempfile.TemporaryDirectory() as name, serving(gpus, batch, nodes.seconds) as url:
        folder, summary = Path(name), Path(name) / "summary.json"
        (folder / "photo.jpg").write_bytes(bytes(1000))
        table = write_table(folder / "rows.csv", ["photo.jpg"], rows)
        with ray_cluster(nodes.count) as address:
            command = client_command(url, table, folder / "out", "--dataset", "null", "--ray", address)
            observe([*command, "--summary", str(summary), *options], look, _LOOK_SECONDS)
        rate = float(json.loads(summary.read_text("utf-8"))["images_per_second"])
    return Measured(nodes, rows, rate, driver)


@contextmanager
def serving(gpus: int, batch: int, seconds: float) -> Iterator[str]:
    """The address of a node's server, which all nodes share."""
    command = [sys.executable, "-m", "benchmarks.path.node_server", str(gpus), str(batch), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


@contextmanager
def ray_cluster(nodes: int) -> Iterator[str]:
    """The address of a Ray cluster of so many nodes on this machine, besides a head without CPUs."""
    from ray.cluster_utils import Cluster  # only here: a plain install is without Ray

    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(wait=False, **_NODE)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def figures(measured: Sequence[Measured], driver: float, nodes: Sequence[Nodes]) -> Sequence[Figure]:
    """The runs, each beside what the model says of it, and the model for `nodes` and a million rows."""
    found = []
    for one in measured:
        ideal, model = one.nodes.count * one.nodes.rate, one.nodes.efficiency(one.rows, driver)
        found.append(Figure(f"{one.nodes.count} nodes, slowed", one.rate, "photos/s", f"{ideal:.1f}"))
        found.append(Figure("  ÷ ideal (beside it the model's)", one.rate / ideal, "ratio", f"{model:.2f}"))
    found.append(Figure("the driver's CPU per million rows", driver * MILLION, "CPU-s", "-"))
    for some in nodes:
        efficiency, ideal = some.efficiency(MILLION, driver), some.count * some.rate
        found.append(Figure(f"{some.count} nodes by the model", efficiency * ideal, "photos/s", f"{ideal:.0f}"))
        found.append(Figure("  ÷ ideal, a million rows", efficiency, "ratio", "1.00"))
    return found
