"""What a family of contestants is to the rest: a way to start them, and a way to run each."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.job import Job


@dataclass(frozen=True)
class Contestant:
    """One way of relighting a job's photos.

    Attributes:
        run: does the job; takes the address to send the photos to, which is empty where there is none.
        address: host:port of its server, None where everything happens in the process.
    """

    run: Callable[[Job, str], None]
    address: str | None = None


# Starts contestants that share their networks or their server, and stops them. May write into the folder given, which
# goes with the session; the folder around it lasts for all rounds.
Family = Callable[[Path], AbstractContextManager[Mapping[str, Contestant]]]
