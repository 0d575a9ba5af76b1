"""The same table on the same nodes by our driver and by other engines on Ray: images/s, and what each driver costs."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from benchmarks.rig.report import BenchmarkError, Figure
from benchmarks.simulate.cluster import MILLION, Nodes, slowed
from benchmarks.simulate.drive import Driven, Driver, drive, ours, theirs

PEERS = {"ray-data": "with_ray_data", "nemo-curator": "with_nemo_curator"}
PACKAGES = {"ray-data": ("ray", "pyarrow", "pandas"), "nemo-curator": ("nemo_curator",)}
_NODE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 500_000_000}  # Ray Data reads and writes beside an actor
_FEW = 2000  # rows of a run on a node that answers at once; another with more shows what a row costs
_WINDOW = 64  # calls in flight in those


def compare(peers: Sequence[str], nodes: Nodes, gpus: int, batch: int, slowdown: float, rows: int) -> Sequence[Figure]:
    """Ours and each peer in turn: `rows` where calls take their time, and `rows` more than 2,000 where they take none.

    Raises BenchmarkError: a peer is not installed, a driver fails, a row is missing.
    """
    for peer in peers:
        if missing := [package for package in PACKAGES[peer] if find_spec(package) is None]:
            raise BenchmarkError(f"{peer} needs {' and '.join(missing)}: docs/benchmarks.md says how to install it.")
    slow, window = slowed(nodes, slowdown)
    found: list[Figure] = []
    drivers: dict[str, Driver] = {"ours": ours(), "ours, pictures in tars": ours("--dataset", "webdataset")}
    drivers |= {peer: theirs(PEERS[peer]) for peer in peers}
    for name, driver in drivers.items():
        busy = drive(driver, nodes.count, gpus, batch, slow.seconds, rows, window, **_NODE)
        few, many = (drive(driver, 1, gpus, batch, 0.0, some, _WINDOW, **_NODE) for some in (_FEW, _FEW + rows))
        found += figures(name, slow, busy, few, many)
    return found


def figures(name: str, nodes: Nodes, busy: Driven, few: Driven, many: Driven) -> Sequence[Figure]:
    """What one engine reached on busy nodes, and cost on a node that answers at once."""
    ideal = nodes.count * nodes.rate
    row = (many.cpu - few.cpu) / (many.rows - few.rows)
    return [
        Figure(name, busy.rate, "photos/s", f"{ideal:.1f}"),
        Figure("  ÷ ideal", busy.rate / ideal, "ratio", "1.00"),
        Figure("  where answers take no time", many.rate, "photos/s", "-"),
        Figure("  its driver's CPU per million rows", row * MILLION, "CPU-s", "-"),
        Figure(f"  its driver's memory, {many.rows:,} rows", many.memory / 1e6, "MB", "-"),
        Figure("  of that, since 2,000 rows", (many.memory - few.memory) / 1e6, "MB", "-"),
        Figure("  Ray's object stores at their peak", max(busy.store, many.store) / 1e6, "MB", "-"),
    ]
