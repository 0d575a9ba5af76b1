"""Process trees, their CPU and memory; commands that are watched while they run, and what a full window shows."""

import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from benchmarks import CORES, ROOT
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.report import BenchmarkError
from benchmarks.rig.triton import read_counts
from contract.names import ENSEMBLE
from server.embedded import RunningServer

Look = Callable[[int], object]  # is given the process id
Environment = Mapping[str, str]
_INTERVAL = 0.05  # seconds between two readings of how far a run is


def tree_of(root: int) -> list[psutil.Process]:
    """The process `root` and its descendants."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def cpu_of(process: psutil.Process) -> float:
    """CPU-seconds of a process and of the children that it has waited for, user and system; 0 where it is gone."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def cpu_seconds(root: int) -> float:
    """CPU time of a tree since its start; that of its ended processes stays with who waited for them."""
    return sum(map(cpu_of, tree_of(root)))


def cpu_by_role(server: int, client: int) -> dict[str, float]:
    """CPU-seconds so far of `client`, `tritonserver`, each model that runs in processes by its name, and the `machine`.

    server, client: their process ids.
    """
    times = psutil.cpu_times()
    seconds: defaultdict[str, float] = defaultdict(float)
    seconds["machine"] = times.user + times.nice + times.system + times.irq + times.softirq
    seconds["client"] = cpu_seconds(client)
    for process in tree_of(server):
        seconds[_model_of(process)] += cpu_of(process)
    return dict(seconds)


def memory_bytes(root: int) -> int:
    """Proportional set size of a tree: a page that several processes share counts once, in parts."""
    total = 0
    for process in tree_of(root):
        with suppress(psutil.Error):  # it has ended
            total += process.memory_full_info().pss
    return total


def end(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait for processes to end, then kill those that have not; children of ours are waited for."""
    _, left = psutil.wait_procs(list(processes), timeout=seconds)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=seconds)


def _model_of(process: psutil.Process) -> str:
    """The model of one of the server's processes: the first argument of Triton's stub is <model>/1/<file>."""
    with suppress(psutil.Error):  # it has ended meanwhile
        words = process.cmdline()
        if words and Path(words[0]).name == "triton_python_backend_stub":
            return Path(words[1]).parts[-3]
    return "tritonserver"


class RunFailedError(BenchmarkError):
    """A command ended with a failure or too early, or did not end in time; `said` is what it printed, or that."""

    def __init__(self, command: Sequence[str], how: str, said: str = "", *, ended: bool = True) -> None:
        super().__init__(f"`{' '.join(command)}` {how}" + (f":\n{said}" if said else "."))
        self.said, self.ended = said or how, ended


def observe(
    command: Sequence[str], look: Look, interval: float, *, timeout: float | None = None, env: Environment | None = None
) -> str:
    """Run a command to its end, or kill it after `timeout` seconds; return what it printed.

    `look` is called at once and then every `interval` seconds with the process id; it may fail to reach a server.

    Raises RunFailedError: it fails, or takes longer.
    """
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, env=env, stdout=out, stderr=errors) as process,
    ):
        try:
            while process.poll() is None:
                with suppress(OSError, InferenceServerException):  # whoever loads the server is told, too
                    look(process.pid)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(interval)
                if time.monotonic() > deadline and process.poll() is None:
                    raise RunFailedError(command, f"was not done within {timeout:g} s", ended=False)
        finally:
            process.kill()
        said = [file.read().strip() for file in (out, errors) if not file.seek(0)]
    if process.returncode:
        raise RunFailedError(command, f"ended with exit code {process.returncode}", said[1] or said[0])
    return "\n".join(said)


def client_command(url: str, table: Path, output: Path, *options: str) -> list[str]:
    """`client/run_csv.py` over a table, for the pictures that everything here is measured with."""
    command = [sys.executable, str(ROOT / "client" / "run_csv.py"), "--csv", str(table), "--output", str(output)]
    return [*command, "--url", url, "--quiet", "--files", ",".join(PICTURES), *options]


@dataclass(frozen=True)
class Steady:
    """What happened while as many calls were in flight as ever: neither filling nor running out of rows."""

    photos: int  # answered meanwhile
    begin: float  # seconds since the epoch
    end: float  # seconds since the epoch
    cpu: Mapping[str, float]  # CPU-seconds of each role, see cpu_by_role
    others: float = 0.0  # CPU-seconds of programs that have no part in the run
    memory: int = 0  # bytes of the server and all its processes at the end

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.end - self.begin

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
        return sum(self.cpu.values()) / (self.seconds * CORES)


class FullWindow:
    """Notes the two moments between which a window of calls is full: filled for the first time, about to empty.

    Until the first, models fill, and after the second they run empty. At both ends of what lies between work is under
    way alike, so that its throughput is that of a long run.
    """

    def __init__(self, window: int, total: int) -> None:
        """`window` calls are in flight, `total` will be answered."""
        self._goals = [window, max(window + 1, total - window)]
        self._moments: list[tuple[float, int, dict[str, float]]] = []

    def note(self, seconds: float, answered: int, cpu: Callable[[], dict[str, float]] = dict) -> bool:
        """Take a reading of the answers so far; whether it is the second moment. `cpu` is only asked for at the two."""
        if not self._goals or answered < self._goals[0]:
            return False
        self._goals.pop(0)
        self._moments.append((seconds, answered, cpu()))
        return not self._goals

    def steady(self, memory: int = 0) -> Steady | None:
        """What happened between the moments; None where that was too short to tell."""
        if self._goals or self._moments[1][1] <= self._moments[0][1]:
            return None
        (begin, first, earlier), (end, last, later) = self._moments
        used = {role: spent - earlier.get(role, 0.0) for role, spent in later.items()}
        machine = used.pop("machine", 0.0)
        return Steady(last - first, begin, end, used, max(0.0, machine - sum(used.values())), memory)


def watch(
    command: Sequence[str], server: RunningServer, photos: int, window: int, env: Environment | None = None
) -> Steady:
    """Run a command that has `photos` answered, `window` at a time, by a server that nobody else uses.

    Raises RunFailedError: the command fails, or ends before the window has been filled and emptied again.
    """
    full, memory = FullWindow(window, photos), 0
    with triton.InferenceServerClient(server.grpc_url) as asker:
        before = read_counts(asker, ENSEMBLE).photos

        def look(client: int) -> None:
            nonlocal memory
            answered = read_counts(asker, ENSEMBLE).photos - before
            if full.note(time.time(), answered, lambda: cpu_by_role(server.process.pid, client)):
                memory = memory_bytes(server.process.pid)

        observe(command, look, _INTERVAL, env=env)
    steady = full.steady(memory)
    if steady is None:
        raise RunFailedError(command, f"ended before {window} calls were in flight for a while")
    return steady
