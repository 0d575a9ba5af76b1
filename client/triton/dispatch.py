"""Chooses the server for each call: the one with the least load for its size, within one window of calls in flight."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from client.errors import StoppedError, UnreachableError
from client.triton.connection import Connection


@dataclass(eq=False)
class Server:
    """One of the servers, and how many calls it may have."""

    connection: Connection
    share: int = 1  # the calls in flight that keep it busy
    room: int = 0  # the calls it may have now: its share, one as a test, or none
    in_flight: int = 0
    setbacks: int = 0  # failures since its last answer
    dead_stubs: int = 0  # how often a model's process was found dead behind a ready server
    problem: str = ""  # the reason of the last failure
    probed: bool = False  # a task asks it at intervals whether it is back
    reported_lost: bool = False  # the user has been told that it is lost


class Dispatcher:
    """Assigns calls to `servers`, at most `window` at once. Use it inside one event loop."""

    def __init__(self) -> None:
        self.servers: Sequence[Server] = ()
        self.window = 0
        self.stopping = asyncio.Event()
        self.ended = ""  # why the run cannot continue
        self._lone_calls = 0  # those that are to be in flight alone; all others wait
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, alone: bool = False) -> Server:
        """Wait for a server with room for one call, or until no other call is in flight; `give_back` it afterwards.

        Raises StoppedError after `stop`, UnreachableError after `end`.
        """
        self._lone_calls += alone
        try:
            while True:
                if self.ended:
                    raise UnreachableError(self.ended)
                if self.stopping.is_set():
                    raise StoppedError
                free = [server for server in self.servers if server.in_flight < server.room]
                most = 1 if alone else 0 if self._lone_calls else self.window
                if free and sum(server.in_flight for server in self.servers) < most:
                    server = min(free, key=lambda one: one.in_flight / one.share)
                    server.in_flight += 1
                    return server
                turn = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                await turn
        except BaseException:
            self._lone_calls -= alone
            raise

    def give_back(self, server: Server, alone: bool = False) -> None:
        """Note that a call has ended, which was taken `alone`."""
        server.in_flight -= 1
        self._lone_calls -= alone
        self._wake(self.window if alone else 1)

    def set_room(self, server: Server, room: int) -> None:
        """Set how many calls the server may have."""
        server.room = room
        self._wake(room)

    def stop(self) -> None:
        """Assign no further calls."""
        self.stopping.set()
        self._wake(len(self._waiting))

    def end(self, sentence: str) -> None:
        """End the run: from now on `take` raises UnreachableError with this sentence."""
        self.ended = self.ended or sentence
        self._wake(len(self._waiting))

    def _wake(self, count: int) -> None:
        """Let `count` of the waiting calls check again; all where only one of them may go."""
        count = len(self._waiting) if self._lone_calls else count
        while count > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                count -= 1
