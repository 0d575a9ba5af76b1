"""One run over a table against a server, by our client or by NVIDIA's perf_analyzer, watched in its steady state."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tritonclient.grpc as triton

from benchmarks.peers.tree import TICK
from benchmarks.simulation.cpu import cpu_seconds
from server.embedded import RunningServer

ROOT = Path(__file__).resolve().parents[2]
_LOOK = 0.05  # seconds between two looks at how far the run is


class RunFailedError(Exception):
    """A run ended before its time or with a failure; the message is what it said."""


@dataclass(frozen=True)
class Moment:
    """How far everything was at a time."""

    seconds: float  # of a monotonic clock
    photos: int  # answered by the ensemble
    cpu: Mapping[str, float]  # CPU-seconds by process, see cpu_seconds
    machine: float  # CPU-seconds of all programs


@dataclass(frozen=True)
class Steady:
    """What happened while as many calls were in flight as ever: neither filling nor running out of rows."""

    photos: int
    seconds: float
    cpu: Mapping[str, float]  # CPU-seconds by process
    others: float  # CPU-seconds of programs that have no part in the run

    @property
    def images_per_second(self) -> float:
        """Throughput."""
        return self.photos / self.seconds

    @property
    def cpu_per_photo(self) -> float:
        """CPU-seconds of client, server and models."""
        return sum(self.cpu.values()) / self.photos

    @property
    def busy(self) -> float:
        """Share of all cores, 0–1, that the run kept busy."""
        return sum(self.cpu.values()) / (self.seconds * len(os.sched_getaffinity(0)))


def client_command(url: str, table: Path, output: Path, window: int) -> list[str]:
    """`client/run_csv.py` over a table, `window` photos in flight."""
    command = [sys.executable, str(ROOT / "client" / "run_csv.py"), "--csv", str(table), "--output", str(output)]
    return [*command, "--url", url, "--window", str(window), "--quiet"]


def analyzer_command(binary: Path, url: str, input_data: Path, photos: int, window: int) -> list[str]:
    """perf_analyzer with so many requests in all and in flight."""
    command = [str(binary), "-m", "relight", "-i", "grpc", "-u", url, "--async"]
    command += ["--input-data", str(input_data), "--concurrency-range", str(window)]
    return [*command, "--request-count", str(photos)]


def run_to_end(command: Sequence[str]) -> None:
    """Run a command. Raises RunFailedError where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RunFailedError(said_by(command, done.returncode, done.stdout))


def watch(
    command: Sequence[str],
    server: RunningServer,
    photos: int,
    window: int,
    variables: Mapping[str, str] | None = None,
) -> Steady:
    """Run a command that has `photos` answered, `window` at a time; Triton's own count says how far it is.

    Args:
        command: client or load generator, and its arguments.
        server: that it drives, and nobody else does.
        photos: in all; the first and the last window of them do not count.
        window: calls in flight.
        variables: the command's environment; None is ours.

    Raises:
        RunFailedError: the command fails, or is at its end before the window has been filled and emptied again.
    """
    with (
        triton.InferenceServerClient(server.grpc_url) as asker,
        subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        before = answered(asker)

        def wait_for(count: int) -> Moment:
            while (now := answered(asker) - before) < count and process.poll() is None:
                time.sleep(_LOOK)
            cpu = cpu_seconds(server.process.pid, process.pid)
            return Moment(time.monotonic(), now, cpu, machine_seconds())

        begin, end = wait_for(window), wait_for(photos - window)
        said, _ = process.communicate()
    if process.returncode or end.photos <= begin.photos:
        raise RunFailedError(said_by(command, process.returncode, said))
    used = {role: spent - begin.cpu.get(role, 0.0) for role, spent in end.cpu.items()}
    others = max(0.0, end.machine - begin.machine - sum(used.values()))
    return Steady(end.photos - begin.photos, end.seconds - begin.seconds, used, others)


def said_by(command: Sequence[str], code: int, words: str) -> str:
    """What a command that failed has to say for itself."""
    return f"`{' '.join(command)}` ended with exit code {code}:\n{words.strip()}"


def answered(asker: triton.InferenceServerClient) -> int:
    """The photos that the ensemble has answered since it was loaded."""
    return int(asker.get_inference_statistics("relight").model_stats[0].inference_count)


def machine_seconds() -> float:
    """CPU-seconds that all programs have used since the machine started."""
    user, nice, system, _, _, irq, softirq, _ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / TICK
