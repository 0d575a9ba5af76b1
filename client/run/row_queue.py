"""Reads rows in a thread of its own, with a limit on the rows that are not finished."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from typing import Generic, TypeVar

from client.errors import TableError

Item = TypeVar("Item")  # a row, or a block of rows


class RowQueue(Generic[Item]):
    """Passes rows to a running event loop, never more than `span` that are not finished.

    The thread is a daemon, so a pipe that never ends does not keep the program from ending.
    """

    def __init__(self, rows: Generator[Item, None, None], span: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item | TableError | OSError | None] = asyncio.Queue()
        self._room = threading.Semaphore(span)
        self._ended = False
        threading.Thread(target=self._read, args=(rows,), daemon=True).start()

    async def next(self) -> Item | None:
        """The next row, or None after the last one. Raises TableError or OSError if the rest cannot be read."""
        item = await self._items.get()
        if item is None or self._ended:
            self._items.put_nowait(None)  # for the next caller
            return None
        if isinstance(item, (TableError, OSError)):
            self._items.put_nowait(None)
            raise item
        return item

    def finished(self, rows: int) -> None:
        """Note that so many rows are finished: as many more may be read."""
        if rows:
            self._room.release(rows)

    def end(self) -> None:
        """End the queue: `next` gives None from now on."""
        self._ended = True
        self._items.put_nowait(None)
        self._room.release()

    def _read(self, rows: Generator[Item, None, None]) -> None:
        last: TableError | OSError | None = None
        try:
            for row in rows:
                self._room.acquire()
                if self._ended:
                    break
                self._hand_over(row)
        except (TableError, OSError) as error:
            last = error
        rows.close()
        self._hand_over(last)

    def _hand_over(self, item: Item | TableError | OSError | None) -> None:
        with contextlib.suppress(RuntimeError):  # the run has ended and its loop is closed
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
