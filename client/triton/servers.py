"""The servers of a run: each call goes to whoever is free, and one that dies costs no row.

A server that fails a call gets no more of them until it says that it is ready; then one call shows whether that is
true, because a server is ready even where the process of a model behind it has died.
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

GRACE_SECONDS = 10.0  # a restarted proxy or a short loss of the network ends no run

# How often a row is tried in all, where the failure may pass; others fail it at once. A call that ran into its
# deadline has cost minutes of a server already.
_TRIES = {
    grpc.StatusCode.UNAVAILABLE: 5,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 5,
    grpc.StatusCode.CANCELLED: 5,  # by a server that shuts down
    grpc.StatusCode.DEADLINE_EXCEEDED: 2,
}
_TRIES_DEAD_STUB = 5  # Triton may start it again
_BACK_OFF = (0.5, 8.0)  # seconds before the second try, and at most
_PROBE_BACK_OFF = (0.25, 4.0)
_STUB_BACK_OFF = (0.25, 60.0)


class Servers:
    """Sends requests to one or several servers. Made and used inside one running event loop."""

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
        """Nothing is connected yet.

        Args:
            urls: HOST:PORT of each; a name with several addresses is several servers.
            timeout: seconds per call.
            grace: seconds that may pass without a usable server before the run ends.
            credentials: of a TLS connection, from `read_tls`; None for one in the clear.
            headers: what every call carries.
            say: told when a server is lost and when it is back.
        """
        self._urls = list(dict.fromkeys(urls))
        self._timeout, self._grace = timeout, grace
        self._credentials, self._headers, self._say = credentials, headers, say
        self._dispatcher = Dispatcher()
        self._model_versions: dict[str, str] = {}
        self._calls: set[Any] = set()
        self._probes: set[asyncio.Task[None]] = set()
        self._unusable_since: float | None = None  # when the last usable server was lost

    @property
    def in_flight(self) -> int:
        """How many calls are not answered yet."""
        return len(self._calls)

    async def find(self, wait: float, window: int | None = None) -> Facts:
        """Wait up to `wait` seconds for a server to be ready; those that are not join later.

        `window` bounds the calls in flight over all; None for the sum of what each server asks for.
        Raises UnreachableError: none is ready, the ready ones serve different models, a name or a key is wrong.
        """
        found = await self._wait_until_ready(time.monotonic() + wait)
        ready = list(found)
        facts = found[ready[0]]
        self._model_versions = facts.model_versions
        for server in ready[1:]:
            self._check_alike(server, found[server])
        # A server that is not there yet is taken to be like the first.
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
        """The ModelInferResponse to a ModelInferRequest, asked for again where a failure may pass.

        Raises RowError where this request cannot be answered, PassingError where it could not for now, StoppedError
        where the run is ending, UnreachableError where there has been no server for so long that it must end.
        """
        attempt = 0
        while True:
            server = await self._dispatcher.take()
            try:
                answer = await self._call(server, request)
            except grpc.aio.AioRpcError as error:
                stub = is_dead_stub(error.details())
                tries = _TRIES_DEAD_STUB if stub else _TRIES.get(error.code(), 0)
                if not tries:
                    self._answered(server)  # a refusal is an answer
                    raise RowError(plain(error.details())) from error
                # A process that was dead before is no fault of this row.
                attempt += not (stub and server.setbacks)
                self._failed(server, error)
                if attempt >= tries and stub:
                    self._dispatcher.end(server.problem)
                elif attempt >= tries:
                    raise PassingError(self._reason(error)) from error
            else:
                self._answered(server)
                return answer
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._dispatcher.stopping.wait(), _jittered(_BACK_OFF, attempt))

    def stop(self) -> None:
        """Send nothing more; what is in flight goes on."""
        self._dispatcher.stop()

    def drop(self) -> None:
        """Send nothing more, and wait for no answer."""
        self.stop()
        for call in self._calls:
            call.cancel()

    async def close(self) -> None:
        """Close every connection."""
        for probe in self._probes:
            probe.cancel()
        for server in self._dispatcher.servers:
            await server.connection.close()

    async def _wait_until_ready(self, deadline: float) -> dict[Server, Facts]:
        """The servers that are ready, and what they say about themselves. Raises UnreachableError."""
        while True:
            try:
                return await self._ask_all()
            except NotReadyError as error:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise UnreachableError(
                        f"{error}; start one with `python -m server`, name another with --url, or give it time with "
                        "--wait-for-server SECONDS"
                    ) from error
                await asyncio.sleep(min(1.0, left))

    async def _ask_all(self) -> dict[Server, Facts]:
        """What each server that is ready says about itself. Raises NotReadyError where none is."""
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
        """Raise UnreachableError where a server does not serve the models of the run."""
        ours, its = self._model_versions, facts.model_versions
        if ours != its:
            names = sorted(name for name in ours.keys() | its.keys() if ours.get(name) != its.get(name))
            words = ", ".join(f"{name} {its.get(name, 'none')} instead of {ours.get(name, 'none')}" for name in names)
            raise UnreachableError(
                f"the server at {server.connection.label} serves other model versions than this run began with "
                f"({words}); name only servers that are alike with --url"
            )

    async def _call(self, server: Server, request: Any) -> Any:
        call = server.connection.infer(request)
        self._calls.add(call)
        try:
            return await call
        except asyncio.CancelledError:
            if self._dispatcher.stopping.is_set():
                raise StoppedError from None
            raise
        finally:
            self._calls.discard(call)
            self._dispatcher.give_back(server)

    def _answered(self, server: Server) -> None:
        """The server has answered. One that was set aside stays there until it has been asked how it is."""
        self._unusable_since = None
        if not server.room:
            return
        server.setbacks = 0
        if server.room < server.share:
            self._dispatcher.set_room(server, server.share)
        if server.reported_lost:
            server.reported_lost = False
            self._say(f"the server at {server.connection.label} is back")

    def _failed(self, server: Server, error: grpc.aio.AioRpcError) -> None:
        """The server has failed a call: no more for it until it has been asked how it is."""
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
        """Say once that a server is lost."""
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
        """Ask a lost server how it is until it may have a call again, or the run has to end."""
        asked = server.setbacks
        while not server.room and not self._dispatcher.ended:
            asked += 1
            # Where some of a model's processes are dead, calls go well now and then: be slower each time.
            back_off, failures = (_STUB_BACK_OFF, server.dead_stubs) if server.dead_stubs else (_PROBE_BACK_OFF, asked)
            await asyncio.sleep(_jittered(back_off, failures))
            self._end_where_unusable(server)
            try:
                self._check_alike(server, await server.connection.ask())
            except (NotReadyError, UnreachableError) as error:
                server.problem, server.dead_stubs = str(error), 0
                self._report_lost(server)
            else:
                self._dispatcher.set_room(server, 1)
        server.probed = False

    def _end_where_unusable(self, server: Server) -> None:
        """End the run where there has been no server for as long as it may wait."""
        if self._unusable_since is None or any(one.room for one in self._dispatcher.servers):
            return
        if time.monotonic() - self._unusable_since >= self._grace:
            self._dispatcher.end(
                f"no server could be used for {self._grace:g} s ({server.problem}); start it again, or give it "
                "longer with --wait-for-server SECONDS"
            )

    def _reason(self, error: grpc.aio.AioRpcError) -> str:
        """Why a call failed although it was tried again, for the one who runs the command."""
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"the server did not answer within {self._timeout:g} s; raise --timeout or lower --window"
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return f"the server went away ({plain(reason(error))}); start it again and run the row again"
        return plain(error.details())


def _jittered(back_off: tuple[float, float], failures: int) -> float:
    """Seconds to wait after so many failures: twice as long each time, up to a limit, never all at once."""
    first, longest = back_off
    seconds: float = min(longest, first * 2.0 ** max(0, failures - 1))
    return seconds * random.uniform(0.5, 1.0)
