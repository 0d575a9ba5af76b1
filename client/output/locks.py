"""Locks between processes, as files: the kernel releases one when its process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX


@contextmanager
def locked(file: Path, kind: int, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which is made, SHARED or ALONE.

    Without `wait` raises BlockingIOError if another process holds it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
