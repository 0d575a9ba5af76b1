"""Who gets the next call: of several servers the one with the least to do for its size, within one window."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from client.errors import StoppedError, UnreachableError
from client.triton.connection import Connection


@dataclass(eq=False)
class Server:
    """A server among others, and how much work it is trusted with."""

    connection: Connection
    share: int = 1  # the calls that keep it busy
    room: int = 0  # the calls it may have now: its share, one on trial, or none
    in_flight: int = 0
    setbacks: int = 0  # failures since its last answer
    dead_stubs: int = 0  # how often a model's process was found dead behind a ready server
    problem: str = ""  # of the last failure
    probed: bool = False  # being asked, time and again, whether it is back
    reported_lost: bool = False  # the user was told that it is lost


class Dispatcher:
    """Hands out `servers`, never for more than `window` calls at once. Used inside one event loop."""

    def __init__(self) -> None:
        self.servers: Sequence[Server] = ()
        self.window = 0
        self.stopping = asyncio.Event()
        self.ended = ""  # why the run cannot go on
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> Server:
        """The server for one call, once one has room; `give_back` it.

        Raises StoppedError after `stop`, UnreachableError after `end`.
        """
        while True:
            if self.ended:
                raise UnreachableError(self.ended)
            if self.stopping.is_set():
                raise StoppedError
            free = [server for server in self.servers if server.in_flight < server.room]
            if free and sum(server.in_flight for server in self.servers) < self.window:
                server = min(free, key=lambda one: one.in_flight / one.share)
                server.in_flight += 1
                return server
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn

    def give_back(self, server: Server) -> None:
        """The call is over."""
        server.in_flight -= 1
        self._wake(1)

    def set_room(self, server: Server, room: int) -> None:
        """From now on the server may have so many calls."""
        server.room = room
        self._wake(room)

    def stop(self) -> None:
        """Hand out nothing more."""
        self.stopping.set()
        self._wake(len(self._waiting))

    def end(self, sentence: str) -> None:
        """The run cannot go on: whoever asks is told why."""
        self.ended = self.ended or sentence
        self._wake(len(self._waiting))

    def _wake(self, count: int) -> None:
        """Let so many of those who wait look again."""
        while count > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1
