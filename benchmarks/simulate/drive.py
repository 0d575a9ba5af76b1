"""A driver at work on nodes that this machine plays, with stand-in servers: how fast, and what it costs."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.rig.processes import client_command, observe
from benchmarks.simulate.job import Job

_LOOK_SECONDS = 0.5
_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}

Driver = Callable[[Job], list[str]]  # the command that does a job


@dataclass(frozen=True)
class Driven:
    """What a run was and cost."""

    rows: int
    rate: float  # photos/s
    cpu: float  # CPU-seconds of the driver
    memory: float  # bytes of the driver at its peak
    store: float  # bytes of the nodes' object stores together at their peak


def ours(*options: str) -> Driver:
    """`client/run_csv.py --ray`."""

    def command(job: Job) -> list[str]:
        more = ["--ray", job.address, "--summary", str(job.summary), *options]
        more += [] if job.window is None else ["--window", str(job.window)]
        return client_command(job.url, job.table, job.output, *more)

    return command


def theirs(module: str) -> Driver:
    """A module beside this one, which is given the job."""
    return lambda job: [sys.executable, "-m", f"benchmarks.simulate.{module}", job.text()]


def drive(
    driver: Driver, nodes: int, gpus: int, batch: int, seconds: float, rows: int, window: int | None = None, **node: Any
) -> Driven:
    """Run a driver over so many rows; a photo's answer takes so many seconds. `node` is what Ray is told of each.

    Raises BenchmarkError: the driver fails, or has left rows out.
    """
    memory = store = 0.0

    with tempfile.TemporaryDirectory() as name, serving(gpus, batch, seconds) as url:
        folder = Path(name)
        (folder / "photo.jpg").write_bytes(bytes(1000))
        with ray_cluster(nodes, **node) as address:
            job = Job(address, nodes, url, window, rows, name)
            job.output.mkdir()
            job.table.write_text("image_path,seed\n" + "".join(f"photo.jpg,{row}\n" for row in range(rows)), "utf-8")

            def look(process: int) -> None:
                nonlocal memory, store
                memory = max(memory, psutil.Process(process).memory_info().rss)
                store = max(store, stored(address))

            before = children_cpu()
            observe(driver(job), look, _LOOK_SECONDS)
            cpu = children_cpu() - before
        return Driven(rows, job.rate(), cpu, memory, store)


def children_cpu() -> float:
    """CPU-seconds of all ended children of this process, to the last one: a look may miss half a second."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stored(address: str) -> float:
    """Bytes that Ray's object stores of all nodes hold."""
    from ray._private import internal_api as untyped  # what `ray memory --stats-only` prints: there is no public call

    internal_api: Any = untyped
    state = internal_api.get_state_from_address(address)
    return float(internal_api.get_memory_info_reply(state).store_stats.object_store_bytes_used)


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
def ray_cluster(nodes: int, **node: Any) -> Iterator[str]:
    """The address of a Ray cluster of so many nodes on this machine, besides a head without CPUs."""
    from ray.cluster_utils import Cluster  # only here: a plain install is without Ray

    head = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(wait=False, **(_NODE | node))
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]
