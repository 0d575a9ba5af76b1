"""Many nodes of GPUs on one machine: the real driver and Ray's real tasks, and servers that take a GPU's time.

Up to as many nodes as this machine's cores carry; for more, a model with what the driver was measured to cost.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


@dataclass(frozen=True)
class Nodes:
    """Nodes that are alike, in truth."""

    count: int
    rate: float  # photos/s of each
    seconds: float  # from a call to its answer

    def needed(self, rows: int, driver: float) -> float:
        """Seconds for so many rows where each costs the driver `driver` seconds; starting up is left out.

        At the end, nodes wait for one block of the last, and its last photo's answer.
        """
        return max(rows * driver, rows / (self.count * self.rate)) + BLOCK_ROWS / self.rate + self.seconds

    def efficiency(self, rows: int, driver: float) -> float:
        """What the nodes would need if always busy ÷ what is needed."""
        return rows / (self.count * self.rate) / self.needed(rows, driver)


def nodes_of(count: int, gpus: int, batch: int, gpu_rate: float) -> Nodes:
    """Nodes of GPUs that make `gpu_rate` photos/s each while the client keeps them full."""
    return Nodes(count, gpus * gpu_rate, BATCHES_ON_GPUS * batch / gpu_rate)


@dataclass(frozen=True)
class Measured:
    """A run of the real driver."""

    rate: float  # photos/s
    driver: float  # its CPU-seconds a row


def run(nodes: Nodes, gpus: int, batch: int, slowdown: float, seconds: float) -> Measured:
    """Run the real driver, Ray and clients for about so many `seconds` on nodes that are slowed down.

    Raises BenchmarkError: the client fails, as one without --ray does.
    """
    rows = round(nodes.count * nodes.rate / slowdown * seconds)
    cpu: list[float] = []  # of the driver, over a part of the rows and over all

    def look(driver: int) -> None:
        cpu[-1] = max(cpu[-1], cpu_of(psutil.Process(driver)))

    with tempfile.TemporaryDirectory() as name, serving(gpus, batch, nodes.seconds * slowdown) as url:
        folder, summary = Path(name), Path(name) / "summary.json"
        (folder / "photo.jpg").write_bytes(bytes(1000))
        with ray_cluster(nodes.count) as address:
            options = ("--dataset", "null", "--ray", address, "--summary", str(summary))
            for part in (rows // 4, rows):
                cpu.append(0.0)
                table = write_table(folder / f"rows{part}.csv", ["photo.jpg"], part)
                observe(client_command(url, table, folder / f"out{part}", *options), look, _LOOK_SECONDS)
        rate = float(json.loads(summary.read_text("utf-8"))["images_per_second"])
    return Measured(rate, (cpu[1] - cpu[0]) / (rows - rows // 4))


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


def figures(measured: Mapping[int, Measured], nodes: Mapping[int, Nodes], slowdown: float) -> Sequence[Figure]:
    """The runs, and the model for all `nodes` by their number, with the dearest driver that was measured."""
    driver = max(one.driver for one in measured.values())
    found = []
    for count, one in measured.items():
        ideal = count * nodes[count].rate / slowdown
        found.append(Figure(f"{count} nodes, {slowdown:g} times slower", one.rate, "photos/s", f"{ideal:.1f}"))
        found.append(Figure("  ÷ ideal", one.rate / ideal, "ratio", "1.00"))
    found.append(Figure("the driver's CPU per million rows", driver * MILLION, "CPU-s", "-"))
    for count, one_of in nodes.items():
        efficiency, ideal = one_of.efficiency(MILLION, driver), count * one_of.rate
        found.append(Figure(f"{count} nodes by the model", efficiency * ideal, "photos/s", f"{ideal:.0f}"))
        found.append(Figure("  ÷ ideal, a million rows", efficiency, "ratio", "1.00"))
    return found
