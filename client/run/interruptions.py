"""What ends a run before its last row: Ctrl-C, SIGTERM, too many failures, or the thread that has started it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Interruptions:
    """Passes each request to end the run to the current handler."""

    def __init__(self) -> None:
        self._handler: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._task: asyncio.Task[Any] | None = None  # the run
        self._is_asked = False  # to end, by another thread

    def now(self) -> None:
        """Request the end of the run; call it in the event loop's thread."""
        if self._handler is not None:
            self._handler()

    async def watched(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a run, which `from_another_thread` can end until then."""
        with self._lock:
            self._task = asyncio.current_task()
        if self._is_asked:
            self._end()
        try:
            return await work
        finally:
            with self._lock:
                self._task = None

    def from_another_thread(self) -> None:
        """Request the end of the run; where nothing handles that, as before its first row, cancel it."""
        with self._lock:
            self._is_asked = True
            if self._task is not None:
                self._task.get_loop().call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._handler is not None:
            self._handler()
        elif self._task is not None:
            self._task.cancel()

    @contextlib.contextmanager
    def handled(self, handler: Callable[[], None]) -> Iterator[None]:
        """Within the block, in a running event loop, call `handler` on Ctrl-C, SIGTERM and `now`."""
        loop = asyncio.get_running_loop()
        # Only the main thread can handle signals.
        in_main = threading.current_thread() is threading.main_thread()
        signals = (signal.SIGINT, signal.SIGTERM) if in_main else ()
        self._handler = handler
        for number in signals:
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            self._handler = None
            for number in signals:
                loop.remove_signal_handler(number)
