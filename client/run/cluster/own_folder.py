"""A folder of its own for each client of a cluster whose files go into a store, as long as they are not there."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_PREFIX = "client-"


@contextmanager
def own_folder(output: Path) -> Iterator[Path]:
    """A place like `output`, which the clients of this machine and a driver share. Raises OSError.

    What clients that were killed have left beside it is removed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with _locked(output.parent / ".clients.lock", fcntl.LOCK_EX):
            for left in output.parent.glob(f"{_PREFIX}*"):
                try:
                    with _locked(left / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                        shutil.rmtree(left)
                except BlockingIOError:  # its client works
                    continue
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=output.parent))
            stack.enter_context(_locked(folder / "lock", fcntl.LOCK_EX))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder / output.name


@contextmanager
def _locked(file: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)
