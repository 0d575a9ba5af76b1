"""The process in which a family of contestants runs: `python -m benchmarks.peers.worker MODULE FOLDER`.

It says what contestants it has, then does one job per line of its input, and ends with it.
"""

import ctypes
import importlib
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

from benchmarks.peers.job import Contestant, Family, job_from_json
from benchmarks.rig.wire import Wire, counted

PR_SET_CHILD_SUBREAPER = 36


def main(module: str, folder: Path) -> None:
    """Serve jobs until the input ends."""
    adopt_orphans()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not be taken for an answer
    family: Family = importlib.import_module(f"benchmarks.peers.{module}").family
    with family(folder) as contestants:
        say(answers, {name: contestant.address is not None for name, contestant in contestants.items()})
        for line in sys.stdin:
            order = json.loads(line)
            say(answers, do(contestants[order["name"]], order))


def adopt_orphans(adopt: bool = True) -> None:
    """Make what our children leave behind our own children, so that a daemon stays in the tree; or do so no more."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, int(adopt)) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def do(contestant: Contestant, order: dict[str, Any]) -> dict[str, Any]:
    """Do one job; the bytes that went over the wire if they are to be counted, or what went wrong."""
    try:
        with counted(contestant.address) if order["count"] and contestant.address else nullcontext(Wire("")) as wire:
            contestant.run(job_from_json(order["job"]), wire.address or contestant.address or "")
    except Exception as error:  # whatever a library raises: the others go on
        return {"error": f"{type(error).__name__}: {error}"}
    return {"bytes": wire.bytes}


def say(answers: TextIO, content: dict[str, Any]) -> None:
    """Answer in one line."""
    answers.write(json.dumps(content) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
