"""A folder of its own for each client of a cluster whose files go into a store, as long as they are not there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from client.output.locks import ALONE, locked

_PREFIX = "client-"


@contextmanager
def own_folder(output: Path) -> Iterator[Path]:
    """A place like `output`, which the clients of this machine and a driver share. Raises OSError.

    What clients that were killed have left beside it is removed.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with locked(output.parent / ".clients.lock", ALONE):
            for left in output.parent.glob(f"{_PREFIX}*"):
                try:
                    with locked(left / "lock", ALONE, wait=False):
                        shutil.rmtree(left)
                except BlockingIOError:  # its client works
                    continue
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=output.parent))
            stack.enter_context(locked(folder / "lock", ALONE))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder / output.name
