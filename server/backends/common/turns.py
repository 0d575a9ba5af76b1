"""Turns on a GPU, whose networks are processes of their own: their kernels would alternate every few milliseconds.

All would be late then. Triton's rate limiter is no way: one network that waits for its GPU stops those of all others.
"""

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

PARAMETER = "take_turns"  # of a config whose network takes turns with the others that have it


def turns(config: Any, gpu: str, finish: Callable[[], object]) -> Callable[[], AbstractContextManager[None]]:
    """What gives a network its turn, for as long as a `with` block lasts; none is needed where the config says nothing.

    gpu: its name, which is the same in all processes of a server. finish: waits until the GPU has done what the block
    asked of it; afterwards the next network has its turn. A process that dies gives its turn back.
    """
    if PARAMETER not in config.get("parameters", {}):
        return nullcontext
    file = Path(tempfile.gettempdir()) / f"turn_{gpu}"  # the server's own folder

    @contextmanager
    def turn() -> Iterator[None]:
        with file.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
            finish()

    return turn
