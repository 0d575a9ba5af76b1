"""Many nodes of GPUs on one machine: the real driver and Ray's real tasks, and servers that take a GPU's time.

Up to as many nodes as this machine's cores carry; for more, a model with what the driver was measured to cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rig.report import Figure
from benchmarks.simulate.drive import Driven, drive, ours
from client.triton.connection import BATCHES_ON_GPUS

REAL = ours("--dataset", "null")
BLOCK_ROWS = 200  # that a node gets at a time, as in client/run/cluster/blocks.py
MILLION = 1_000_000
_DRIVER_ROWS = (2000, 12_000)  # of the two runs whose difference is the driver's cost of a row


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
    driven: Driven


def slowed(nodes: Nodes, slowdown: float) -> tuple[Nodes, int]:
    """Nodes that are so many times slower, and the calls in flight on each.

    Slowed down are these, not the time to an answer, of which Ray and the clients know nothing.
    """
    window = max(8, round(nodes.rate * nodes.seconds / slowdown))
    return Nodes(nodes.count, nodes.rate / slowdown, window * slowdown / nodes.rate), window


def run(nodes: Nodes, gpus: int, batch: int, slowdown: float, seconds: float) -> Measured:
    """Run the real driver, Ray and clients for about so many `seconds` on nodes that are slowed down.

    Raises BenchmarkError: the client fails, as one without --ray does.
    """
    slow, window = slowed(nodes, slowdown)
    rows = round(nodes.count * slow.rate * seconds)
    return Measured(slow, drive(REAL, nodes.count, gpus, batch, slow.seconds, rows, window))


def driver_cost(gpus: int, batch: int) -> float:
    """The driver's CPU-seconds a row on a node that answers at once. Raises BenchmarkError as `run`."""
    few, many = (drive(REAL, 1, gpus, batch, 0.0, rows) for rows in _DRIVER_ROWS)
    return (many.cpu - few.cpu) / (many.rows - few.rows)


def figures(measured: Sequence[Measured], driver: float, nodes: Sequence[Nodes]) -> Sequence[Figure]:
    """The runs, each beside what the model says of it, and the model for `nodes` and a million rows."""
    found = []
    for one in measured:
        rate, ideal = one.driven.rate, one.nodes.count * one.nodes.rate
        model = one.nodes.efficiency(one.driven.rows, driver)
        found.append(Figure(f"{one.nodes.count} nodes, slowed", rate, "photos/s", f"{ideal:.1f}"))
        found.append(Figure("  ÷ ideal (beside it the model's)", rate / ideal, "ratio", f"{model:.2f}"))
    found.append(Figure("the driver's CPU per million rows", driver * MILLION, "CPU-s", "-"))
    for some in nodes:
        efficiency, ideal = some.efficiency(MILLION, driver), some.count * some.rate
        found.append(Figure(f"{some.count} nodes by the model", efficiency * ideal, "photos/s", f"{ideal:.0f}"))
        found.append(Figure("  ÷ ideal, a million rows", efficiency, "ratio", "1.00"))
    return found
