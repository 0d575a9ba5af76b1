"""Downloads photos beside the rest of a run, so that a slow URL delays no other row, and a hanging one not the end.

Each download has a thread that ends with the process: nothing waits for a server that does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from client.errors import StoppedError

_AT_ONCE = 32  # downloads: a network's latency is longer than a disk's
_MOST_ROWS = 1024  # that wait for a download or are relit after it; further ones are not read before


class Downloads:
    """The rows of a run whose photos have URLs. Create and use it inside one running event loop."""

    def __init__(self, held: int) -> None:
        """`held` is how many downloaded photos are in memory at most, besides those still in a download's place."""
        self._rows = asyncio.Semaphore(_MOST_ROWS)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._held = asyncio.Semaphore(held)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading: set[asyncio.Future[bytes]] = set()
        self._stopped = False
        self._failure: BaseException | None = None

    async def start(self, row: Coroutine[Any, Any, None]) -> None:
        """Run a row's work beside the caller's, once there is room. Raises what an earlier row has raised."""
        await self._rows.acquire()
        task = asyncio.ensure_future(row)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        self._check()

    async def finish(self) -> None:
        """Wait until all rows have ended. Raises what one of them has raised."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        self._check()

    @contextlib.asynccontextmanager
    async def photo(self, read: Callable[[], bytes]) -> AsyncIterator[bytes]:
        """What `read` returns, which may block; held in memory for the block. Raises StoppedError after `stop`."""
        async with self._places:
            image = await self._read(read)
            await self._held.acquire()
        try:
            yield image
        finally:
            self._held.release()

    def stop(self) -> None:
        """Drop all downloads; rows whose photos have come go on."""
        self._stopped = True
        for reading in self._reading:
            reading.cancel()

    async def _read(self, read: Callable[[], bytes]) -> bytes:
        if self._stopped:
            raise StoppedError
        loop = asyncio.get_running_loop()
        reading: asyncio.Future[bytes] = loop.create_future()

        def settle(image: bytes, error: BaseException | None) -> None:
            if not reading.done():
                reading.set_exception(error) if error else reading.set_result(image)

        def work() -> None:
            image, failure = b"", None
            try:
                image = read()
            except BaseException as error:  # it belongs to the row, not to this thread
                failure = error
            with contextlib.suppress(RuntimeError):  # the run has ended and its loop is closed
                loop.call_soon_threadsafe(settle, image, failure)

        threading.Thread(target=work, daemon=True).start()
        self._reading.add(reading)
        try:
            return await reading
        except asyncio.CancelledError:
            if self._stopped:
                raise StoppedError from None
            raise
        finally:
            self._reading.discard(reading)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._rows.release()
        failure = None if task.cancelled() else task.exception()
        self._failure = self._failure or failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
