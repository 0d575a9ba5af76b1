"""The servers of a run: each call goes to the server with the least load, and a lost server costs no row.

A server that fails a call gets no further calls until it reports that it is ready. One call then tests it, because a
server reports ready even after the process of one of its models has died.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from client.errors import PassingError, RowError, StoppedError, UnreachableError
from client.triton.connection import Connection, Facts, NotReadyError, find_addresses, reason
from client.triton.credentials import Header
from client.triton.dispatch import Dispatcher, Server
from contract.errors import is_dead_stub, plain

GRACE_SECONDS = 60.0  # a server that starts again, a restarted proxy or a short network failure does not end a run

# Attempts per row after a transient failure, by status; any other status fails the row at once. A call that exceeded
# its deadline has already cost minutes of a server.
_TRIES = {
    grpc.StatusCode.UNAVAILABLE: 5,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 5,
    grpc.StatusCode.CANCELLED: 5,  # by a server that is shutting down
    grpc.StatusCode.NOT_FOUND: 5,  # of the ensemble, by one that unloads its models before it ends
    grpc.StatusCode.DEADLINE_EXCEEDED: 2,
}
# Deaths of a model's process with the same row in flight, after which it is sent while nothing else is, a last time. (A
# photo that has ended `decode` so often is then refused by our servers.)
_DEATHS_IN_COMPANY = 2
_BACK_OFF = (0.5, 8.0)  # seconds: before the second attempt, and at most
_PROBE_BACK_OFF = (0.25, 2.0)
_STUB_BACK_OFF = (0.25, 60.0)


class Servers:
    """Sends requests to one or several servers. Create and use it inside one running event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout: float,
        grace: float = GRACE_SECONDS,
        credentials: Any = None,
        headers: Sequence[Header] = (),
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            urls: HOST:PORT of each; a name with several addresses is several servers.
            timeout: seconds per call.
            grace: seconds without a usable server after which the run ends.
            credentials: of a TLS connection, from `read_tls`; None for no encryption.
            headers: sent with every call.
            say: called with a sentence when a server is lost or back.
        """
        self._urls = list(dict.fromkeys(urls))
        self._timeout, self._grace = timeout, grace
        self._credentials, self._headers, self._say = credentials, headers, say
        self._dispatcher = Dispatcher()
        self._model_versions: dict[str, str] = {}
        self._calls: set[asyncio.Task[Any]] = set()
        self._probes: set[asyncio.Task[None]] = set()
        self._unusable_since: float | None = None  # when the last usable server was lost

    @property
    def in_flight(self) -> int:
        """The number of calls whose answers are waited for."""
        return len(self._calls)

    async def find(self, wait: float, window: int | None = None) -> Facts:
        """Wait up to `wait` seconds until a server is ready; the others join when they are.

        `window` bounds the calls in flight over all servers; None for the sum of the servers' own windows.
        Raises UnreachableError: none is ready, the ready ones serve different models, a name or a key is wrong.
        """
        found = await self._wait_until_ready(time.monotonic() + wait)
        ready = list(found)
        facts = found[ready[0]]
        self._model_versions = facts.model_versions
        for server in ready[1:]:
            self._check_alike(server, found[server])
        # A server that is not ready yet is assumed to be like the first.
        wanted = {server: found.get(server, facts).window for server in self._dispatcher.servers}
        total = sum(wanted.values())
        self._dispatcher.window = window or total
        for server, own in wanted.items():
            server.share = max(1, round(own * self._dispatcher.window / total))
            if server in found:
                self._dispatcher.set_room(server, server.share)
            else:
                self._report_lost(server)
                self._probe(server)
        return Facts(self._dispatcher.window, facts.model_versions)

    async def send(self, request: Any) -> Any:
        """Send a ModelInferRequest, again after a transient failure; return its ModelInferResponse.

        Raises RowError if the server refuses the request, PassingError if every attempt failed, StoppedError if the run
        is ending, UnreachableError if it must end because no server can be used.
        """
        attempts = deaths = 0
        while True:
            alone = deaths >= _DEATHS_IN_COMPANY
            server = await self._dispatcher.take(alone)
            had_failed = server.setbacks > 0  # a process that had died before has not died over this row
            try:
                answer = await self._call(server, request, alone)
            except grpc.aio.AioRpcError as error:
                stub = is_dead_stub(error.details())
                if not stub and error.code() not in _TRIES:
                    self._answered(server, refused=True)
                    raise RowError(plain(error.details())) from error
                attempts += not stub
                deaths += stub and not had_failed
                self._failed(server, error)
                if deaths > _DEATHS_IN_COMPANY:
                    raise PassingError(
                        f"with this photo {deaths} times, the last time alone, {self._reason(error)}"
                    ) from error
                if not stub and attempts >= _TRIES[error.code()]:
                    raise PassingError(self._reason(error)) from error
            else:
                self._answered(server)
                return answer
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._dispatcher.stopping.wait(), _jittered(_BACK_OFF, attempts))

    def stop(self) -> None:
        """Send no further requests; calls in flight continue."""
        self._dispatcher.stop()

    def drop(self) -> None:
        """Send no further requests, and wait for no answers: `close` does, because a call is never cancelled."""
        self.stop()
        for call in self._calls:
            call.cancel()

    async def close(self) -> None:
        """Close every connection, once the calls that nobody waits for any more are answered."""
        for probe in self._probes:
            probe.cancel()
        connections = [server.connection for server in self._dispatcher.servers]
        if unanswered := sum(connection.unanswered for connection in connections):
            self._say(f"{unanswered} photos are still on the servers: waiting for their answers; Ctrl-C leaves at once")
        await asyncio.gather(*(connection.close() for connection in connections))

    async def _wait_until_ready(self, deadline: float) -> dict[Server, Facts]:
        """Wait for a ready server; return the Facts of each. Raises UnreachableError."""
        while True:
            try:
                return await self._ask_all()
            except NotReadyError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise UnreachableError(
                        f"{error}; start one with `python -m server`, name another with --url, or wait for it with "
                        "--wait-for-server SECONDS"
                    ) from error
                await asyncio.sleep(min(1.0, left))

    async def _ask_all(self) -> dict[Server, Facts]:
        """Ask each server for its Facts; return those of the ready ones. Raises NotReadyError if none is ready."""
        if not self._dispatcher.servers:
            addresses = [address for url in self._urls for address in await find_addresses(url)]
            self._dispatcher.servers = [
                Server(Connection(address, self._timeout, self._credentials, self._headers)) for address in addresses
            ]
        servers = self._dispatcher.servers
        answers = await asyncio.gather(*(server.connection.ask() for server in servers), return_exceptions=True)
        found = {}
        for server, answer in zip(servers, answers, strict=True):
            if isinstance(answer, Facts):
                found[server] = answer
            elif isinstance(answer, NotReadyError):
                server.problem = str(answer)
            else:
                raise answer
        if not found:
            raise NotReadyError("; ".join(server.problem for server in servers))
        return found

    def _check_alike(self, server: Server, facts: Facts) -> None:
        """Raise UnreachableError if a server does not serve the model versions of the run."""
        ours, its = self._model_versions, facts.model_versions
        if ours != its:
            names = sorted(name for name in ours.keys() | its.keys() if ours.get(name) != its.get(name))
            words = ", ".join(f"{name} {its.get(name, 'none')} instead of {ours.get(name, 'none')}" for name in names)
            raise UnreachableError(
                f"the server at {server.connection.label} serves other model versions than the rest of the run "
                f"({words}); use --url only for servers with the same models"
            )

    async def _call(self, server: Server, request: Any, alone: bool) -> Any:
        call = asyncio.ensure_future(server.connection.infer(request))
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            if self._dispatcher.stopping.is_set():
                raise StoppedError from None
            raise
        finally:
            self._calls.discard(call)
            self._dispatcher.give_back(server, alone)

    def _answered(self, server: Server, *, refused: bool = False) -> None:
        """Note an answer. A server without room stays so until a probe finds it ready."""
        self._unusable_since = None
        if not server.room:
            return
        if not (refused and server.dead_stubs):  # it was `decode` that refused: another process may still be dead
            server.setbacks = 0
        if server.room < server.share:
            self._dispatcher.set_room(server, server.share)
        if server.reported_lost:
            server.reported_lost = False
            self._say(f"the server at {server.connection.label} is back")

    def _failed(self, server: Server, error: grpc.aio.AioRpcError) -> None:
        """Note a failed call. The server gets no further calls until a probe finds it ready."""
        server.problem = f"the server at {server.connection.label} fails: {self._reason(error)}"
        try:
            server.connection.check(error)
        except UnreachableError as refused:
            self._dispatcher.end(str(refused))
        if server.room:
            server.room = 0
            server.setbacks += 1
            server.dead_stubs += is_dead_stub(error.details())
            if server.setbacks > 1:
                self._report_lost(server)
            self._probe(server)

    def _report_lost(self, server: Server) -> None:
        """Report once that a server is lost."""
        if not server.reported_lost:
            server.reported_lost = True
            self._say(f"{server.problem}; it gets no photos until it is back")

    def _probe(self, server: Server) -> None:
        if self._unusable_since is None and not any(one.room for one in self._dispatcher.servers):
            self._unusable_since = time.monotonic()
        if not server.probed:
            server.probed = True
            probe = asyncio.ensure_future(self._revive(server))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)

    async def _revive(self, server: Server) -> None:
        """Probe a lost server until it is ready for a call, or the run ends."""
        asked = server.setbacks
        while not server.room and not self._dispatcher.ended:
            asked += 1
            # With only some of a model's processes dead, a few calls succeed: wait longer each time.
            back_off, failures = (_STUB_BACK_OFF, server.dead_stubs) if server.dead_stubs else (_PROBE_BACK_OFF, asked)
            await asyncio.sleep(_jittered(back_off, failures))
            self._end_if_unusable(server)
            try:
                self._check_alike(server, await server.connection.ask())
            except (NotReadyError, UnreachableError) as error:
                server.problem, server.dead_stubs, server.setbacks = str(error), 0, 0  # it starts again
                self._report_lost(server)
            else:
                self._dispatcher.set_room(server, 1)
        server.probed = False

    def _end_if_unusable(self, server: Server) -> None:
        """End the run if no server was usable for `grace` seconds."""
        if self._unusable_since is None or any(one.room for one in self._dispatcher.servers):
            return
        if time.monotonic() - self._unusable_since >= self._grace:
            self._dispatcher.end(
                f"no server could be used for {self._grace:g} s ({server.problem}); start it again, or wait "
                "longer with --wait-for-server SECONDS"
            )

    def _reason(self, error: grpc.aio.AioRpcError) -> str:
        """Why a call failed after all attempts, for the user."""
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the server did not answer within {self._timeout:g} s; raise --timeout or lower --window"
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.NOT_FOUND):
            return f"the server was lost ({plain(reason(error))}); start it again, then repeat the command"
        return plain(error.details())


def _jittered(back_off: tuple[float, float], failures: int) -> float:
    """Seconds to wait after so many failures: doubled each time up to a limit, with jitter."""
    first, longest = back_off
    seconds: float = min(longest, first * 2.0 ** max(0, failures - 1))
    return seconds * random.uniform(0.5, 1.0)
