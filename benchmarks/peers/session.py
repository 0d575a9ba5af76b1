"""A family of contestants in a process tree of its own: started, given jobs, measured, ended without a trace."""

import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.peers.contestants import RAY_PYTHON, Job
from benchmarks.peers.worker import adopt_orphans
from benchmarks.rig.processes import cpu_seconds, end, memory_bytes, tree_of
from benchmarks.rig.report import BenchmarkError
from server.watch import undisturbed

ANSWER_SECONDS, STOP_SECONDS = 600.0, 40.0  # for one answer; for an orderly end
SAMPLING_SHARE = 0.02  # of a core, for reading the memory


class PeerError(BenchmarkError):
    """A contestant cannot be started or has failed; the message says which and why."""


@dataclass(frozen=True)
class Measurement:
    """One run over a job."""

    photos: int  # how many were relit
    seconds: float  # wall time
    cpu_seconds: float  # of all processes, user and system
    memory: int  # the largest proportional set size of all processes together, in bytes


class Session:
    """The process of a family."""

    def __init__(self, module: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.module, self.process, self.log = module, process, log
        self.on_the_wire: dict[str, bool] = self._answer()  # by contestant

    def do(self, name: str, job: Job, count: bool = False) -> int:
        """Have a job done; the bytes that went over the wire if they are to be counted, else 0. Raises PeerError."""
        assert self.process.stdin is not None
        job.output.mkdir(parents=True)
        try:
            pickle.dump((name, job, count), self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        answer = self._answer()
        if isinstance(answer, str):
            raise PeerError(f"{name} failed: {answer}")
        return int(answer)

    def measure(self, name: str, job: Job) -> Measurement:
        """Have a job done and take its cost. Raises PeerError."""
        with sampled_memory(self.process.pid) as peak:
            cpu, started = cpu_seconds(self.process.pid), time.perf_counter()
            self.do(name, job)
            seconds, cpu = time.perf_counter() - started, cpu_seconds(self.process.pid) - cpu
        return Measurement(len(job.rows), seconds, cpu, peak[0])

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        watchdog = threading.Timer(ANSWER_SECONDS, self.process.kill)
        watchdog.daemon = True  # a Ctrl-C between its start and the next line must not wait for it
        watchdog.start()
        try:
            return pickle.load(self.process.stdout)
        except EOFError as error:
            raise self._ended() from error
        finally:
            watchdog.cancel()

    def _ended(self) -> PeerError:
        said = self.log.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        return PeerError(f"the process of {self.module} ended or did not answer: {said[-1]}")


@contextmanager
def started(module: str, around: Path) -> Iterator[Session]:
    """A family with a folder of its own in `around`, ready for jobs until the block ends. Raises PeerError."""
    with tempfile.TemporaryDirectory(dir=around) as name:
        log = Path(name) / "log"
        with log.open("w", encoding="utf-8") as said:
            python = str(RAY_PYTHON) if module == "with_ray" else sys.executable
            process = subprocess.Popen(
                [python, "-m", "benchmarks.peers.worker", module, name],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                start_new_session=True,  # a terminal's Ctrl-C reaches us alone, who then end it in order
            )
        adopt_orphans()  # what outlives the family's own process
        try:
            yield Session(module, process, log)
        finally:
            with undisturbed():
                stop(process)
                adopt_orphans(False)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a family by the end of its input; kill what is left of its tree after STOP_SECONDS."""
    members = tree_of(process.pid)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what was not yet sent to a dead process
                pipe.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        members = tree_of(process.pid)
        process.kill()
        process.wait()
    end(members, seconds=2.0)


@contextmanager
def sampled_memory(root: int) -> Iterator[list[int]]:
    """The peak of a tree's memory in bytes, the only element of the list when the block has ended."""
    peak, done = [0], threading.Event()

    def sample() -> None:
        while True:
            started = time.perf_counter()
            peak[0] = max(peak[0], memory_bytes(root))
            # Reading walks all pages of the processes and holds them up meanwhile.
            if done.wait((time.perf_counter() - started) / SAMPLING_SHARE):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
