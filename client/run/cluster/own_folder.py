"""A folder of its own for each client of a cluster whose files go into a store, as long as they are not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from client.output.locks import ALONE, locked

_PREFIX = "client-"


@contextmanager
def own_folder(output: Path) -> Iterator[Path]:
    """A place like `output`, which the clients of this machine and a driver share. Raises OSError."""
    remove_left(output)
    with ExitStack() as stack:
        with _all_of(output):
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=output.parent))
            stack.enter_context(locked(folder / "lock", ALONE))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder / output.name


def remove_left(output: Path) -> None:
    """Remove what clients of this machine that were killed have left beside `output`. Raises OSError."""
    with _all_of(output):
        for left in output.parent.glob(f"{_PREFIX}*"):
            try:
                with locked(left / "lock", ALONE, wait=False):
                    shutil.rmtree(left)
            except (BlockingIOError, FileNotFoundError):  # its client works, or is removing it
                continue


def _all_of(output: Path) -> AbstractContextManager[None]:
    """Alone with the folders of all clients."""
    output.parent.mkdir(parents=True, exist_ok=True)
    return locked(output.parent / ".clients.lock", ALONE)
