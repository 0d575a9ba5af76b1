"""What ends a run before its last row: Ctrl-C, SIGTERM, or too many failures."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Interruptions:
    """Passes each request to end the run to the current handler."""

    def __init__(self) -> None:
        self._handler: Callable[[], None] | None = None

    def now(self) -> None:
        """Request the end of the run; call it in the event loop's thread."""
        if self._handler is not None:
            self._handler()

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
