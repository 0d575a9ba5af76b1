"""The process in which a family of contestants runs: `python -m benchmarks.peers.worker MODULE FOLDER`.

It says what contestants it has, then does the jobs of its input one by one, and ends with it.
"""

import ctypes
import importlib
import os
import pickle
import sys
from contextlib import nullcontext, suppress
from pathlib import Path

from benchmarks.peers.contestants import Contestant, Family, Job
from benchmarks.rig.wire import Wire, counted

PR_SET_CHILD_SUBREAPER = 36


def main(module: str, folder: Path) -> None:
    """Serve jobs until the input ends."""
    adopt_orphans()
    orders, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not be taken for an answer
    family: Family = importlib.import_module(f"benchmarks.peers.{module}").family

    def say(answer: object) -> None:
        pickle.dump(answer, answers)
        answers.flush()

    with family(folder) as contestants, suppress(EOFError):
        say({name: contestant.address is not None for name, contestant in contestants.items()})
        while True:
            name, job, count = pickle.load(orders)
            say(do(contestants[name], job, count))


def adopt_orphans(adopt: bool = True) -> None:
    """Make what our children leave behind our own children, so that a daemon stays in the tree; or do so no more."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def do(contestant: Contestant, job: Job, count: bool) -> int | str:
    """Do one job; the bytes that went over the wire if they are to be counted, or what went wrong."""
    try:
        with counted(contestant.address) if count and contestant.address else nullcontext(Wire("")) as wire:
            contestant.run(job, wire.address or contestant.address or "")
    except Exception as error:  # whatever a library raises: the others continue
        return f"{type(error).__name__}: {error}"
    return wire.bytes


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
