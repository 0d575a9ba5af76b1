"""Runs a scenario: the server on stand-ins, the client as its users start it, and what both do in the steady state."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc as triton

from benchmarks.peers.tree import memory_bytes
from benchmarks.simulation.cpu import cpu_seconds
from benchmarks.simulation.executions import Execution, read_executions
from benchmarks.simulation.photos import write_table
from benchmarks.simulation.repository import write_repository
from benchmarks.simulation.scenario import Scenario
from server.derive import Machine
from server.embedded import Options, embedded_server

ROOT = Path(__file__).resolve().parents[2]
SAID = "client.txt"
_LOOK = 0.1  # seconds between two looks at how far the run is


class SimulationError(Exception):
    """The client ended before its time or with a failure; the message is what it said."""


@dataclass(frozen=True)
class Moment:
    """How far a run was at a time."""

    time: float  # seconds since the epoch
    cpu: dict[str, float]  # CPU-seconds by process, see cpu_seconds


@dataclass(frozen=True)
class Measured:
    """A simulation; its steady state is while the client has a full window: neither filling nor running out of rows."""

    begin: Moment  # of the steady state
    end: Moment
    seconds: float  # of the whole run, starting the client included
    executions: list[Execution]  # of the whole run
    memory: int  # bytes of the server and all its processes at the end of the steady state
    table: Path  # what the client wrote


def simulate(scenario: Scenario, folder: Path) -> Measured:
    """Run a scenario in an empty folder; the client's files are left in it.

    Raises:
        ServerError: the server does not start.
        SimulationError: the client fails, or a photo does.
    """
    gpus = folder / "gpus"
    write_repository(folder / "models", gpus, scenario)
    table = write_table(folder, scenario.photos, scenario.side)
    machine = Machine(gpus=0, max_batch=scenario.batch)
    options = Options(folder / "models", machine, grpc_port=0, http_port=0, metrics_port=0, log=folder / "triton.log")
    with embedded_server(options) as server, triton.InferenceServerClient(server.grpc_url) as asker:
        probed = answered(asker)
        started = time.time()
        with client(table, folder, server.grpc_url, scenario.window) as process:

            def wait_for(photos: int) -> Moment:
                while answered(asker) - probed < photos:
                    if process.poll() is not None:
                        raise SimulationError(f"the client ended too soon:\n{(folder / SAID).read_text()}")
                    time.sleep(_LOOK)
                return Moment(time.time(), cpu_seconds(server.process.pid, process.pid))

            begin = wait_for(scenario.in_flight)
            end = wait_for(scenario.photos - scenario.in_flight)
            memory = memory_bytes(server.process.pid)
            if process.wait():
                raise SimulationError(f"the client failed:\n{(folder / SAID).read_text()}")
        seconds = time.time() - started
    executions = [one for one in read_executions(gpus) if one.started >= started]
    return Measured(begin, end, seconds, executions, memory, folder / "out" / table.name)


@contextmanager
def client(table: Path, folder: Path, url: str, window: int | None) -> Iterator["subprocess.Popen[str]"]:
    """The command over a table, into folder/out and what it says into folder/SAID; ended with the block."""
    command = [sys.executable, str(ROOT / "client" / "run_csv.py"), "--csv", str(table), "--url", url, "--quiet"]
    command += ["--output", str(folder / "out"), *(["--window", str(window)] if window else [])]
    with (folder / SAID).open("w") as said, subprocess.Popen(command, stdout=said, stderr=said, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answered(asker: triton.InferenceServerClient) -> int:
    """The photos that the ensemble has answered so far."""
    return int(asker.get_inference_statistics("relight").model_stats[0].inference_count)
