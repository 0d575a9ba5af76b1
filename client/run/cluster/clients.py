"""The clients of a cluster: each node has its own, and its server; they are started again after each death."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

from client.errors import UnreachableError
from client.run.cluster.handle import Client, reason
from client.run.cluster.nodes import Node, actor_on, call_on, working_nodes
from client.run.cluster.own_folder import remove_left
from client.run.cluster.server import NodeServer
from client.run.cluster.speeds import Speeds
from client.run.cluster.where import Where
from client.run.cluster.worker import News, NodeClient
from client.run.reading import Reading
from client.run.run import Run
from client.triton.connection import Facts
from client.triton.servers import GRACE_SECONDS

_LOOK_SECONDS = 1.0  # between two looks at Ray's nodes
_NEWS_SECONDS = 1.0  # between two reports of a client; of many clients longer
_MOST_REPORTS = 64  # a second, of all clients together
_PAUSES = (1.0, 60.0)  # seconds before a client is started again: after its first death and at most
_ATTEMPTS = 3  # at a node whose processes die, before it counts as one that cannot be used
_SILENCE_SECONDS = 900.0  # at least; a call that is not answered is repeated once, after the timeout
# For the end of clients, whose rows are all recorded by then, and of servers, which unload their networks.
_CLIENT_SECONDS, _SERVER_SECONDS = 15.0, 60.0


class Clients:
    """All clients of a run. Create and use it inside one running event loop.

    Attributes:
        ready: those that take blocks.
        facts: of the first one's servers, once there is one.
        problem: the last reason why a client could not be started.
        changed: set at each change of all this.
    """

    def __init__(
        self,
        run: Run,
        reading: Reading,
        where: Where,
        speeds: Speeds,
        hear: Callable[[Client, News], None],
        say: Callable[[str], None],
    ) -> None:
        """`hear` is called with what a client reports, `say` with a sentence for the user."""
        self._run, self._where, self._speeds, self._hear, self._say = run, where, speeds, hear, say
        self._reading = replace(reading, duplicates={})  # rows come with what is wrong with them
        self.ready: list[Client] = []
        self.facts: Facts | None = None
        self.problem = ""
        self.changed = asyncio.Event()
        self._nodes: dict[str, Node] = {}
        self._servers: dict[str, Any] = {}  # actors by node
        self._started = 0
        self._session: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._failed: set[str] = set()  # nodes that could not be used at the first attempt
        self._lost_since: float | None = None  # when the last client was lost
        self._lost_at: dict[str, Node] = {}  # where one was, whose folder may be left
        self._looked = self._closing = False
        self._keepers: dict[str, list[asyncio.Task[None]]] = {}  # by node
        self._listeners: set[asyncio.Task[None]] = set()
        self._said: dict[str, str] = {}  # the last complaint of each node
        self._error: BaseException | None = None  # of a task below, which ends the run
        self._looking = self._task(self._look())

    async def first(self, wait: float) -> Facts:
        """The facts of the first client that is ready.

        Raises UnreachableError: no node can be used, or none could `wait` seconds after the first attempt.
        """
        deadline = time.monotonic() + wait
        while self.facts is None:
            self.check()
            if self._looked and self._nodes.keys() <= self._failed and time.monotonic() > deadline:
                raise UnreachableError(self.problem or "the cluster has no node that works; add one with `ray start`")
            await self._next_change(0.2)
        return self.facts

    def begin(self, session: int) -> None:
        """Let clients begin; the names of their journals start with the number `session`."""
        self._session.set_result(session)
        self._lost_since = time.monotonic()

    def check(self) -> None:
        """Raise UnreachableError if there has been no client for the grace period, or Ray is lost."""
        if self._error is not None:
            raise self._error
        grace = max(self._run.access.wait, GRACE_SECONDS)
        if self.ready or self._lost_since is None:
            return
        if time.monotonic() - self._lost_since > grace:
            raise UnreachableError(f"no node of the cluster could be used for {grace:g} s ({self.problem})")

    async def wait(self) -> None:
        """Wait for the next change. Raises as `check`."""
        await self._next_change(_LOOK_SECONDS)
        self.check()

    def interrupt(self) -> None:
        """Let the clients end: the first time after the calls in flight, the second time without their answers."""
        for client in self.ready:
            client.actor.stop.remote()

    async def close(self) -> None:
        """End clients and servers."""
        self._closing = True
        tasks = [self._looking, *(task for tasks in self._keepers.values() for task in tasks)]
        ends = [client.actor.finish.remote() for client in self.ready]
        await _all_ended(ends, _CLIENT_SECONDS)
        if self._listeners:  # not cancelled: Ray Client does not expect that
            await asyncio.wait(self._listeners, timeout=_NEWS_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._run.store:
            left = [node for node in self._lost_at.values() if node.id in self._nodes]
            await _all_ended([call_on(node, remove_left, self._run.output) for node in left], _CLIENT_SECONDS)
        await _all_ended([server.close.remote() for server in self._servers.values()], _SERVER_SECONDS)

    async def _look(self) -> None:
        """Look at Ray's nodes at intervals. Raises UnreachableError if Ray is lost."""
        while True:
            try:
                found = {node.id: node for node in await asyncio.to_thread(working_nodes)}
            except Exception as error:  # of many kinds
                raise UnreachableError(
                    f"the Ray cluster is lost ({error}); the same command resumes the run"
                ) from error
            for node in self._nodes.keys() - found.keys():
                self._leave(self._nodes.pop(node))
            for node in found.keys() - self._nodes.keys():
                self._nodes[node] = found[node]
                self._keepers[node] = [self._task(self._keep(found[node])) for _ in range(self._where.processes)]
            self._looked = True
            await asyncio.sleep(_LOOK_SECONDS)

    def _leave(self, node: Node) -> None:
        self._say(f"node {node.name} has left")
        self._speeds.left(node.name)
        self._servers.pop(node.id, None)
        for client in self.ready:
            if client.node.id == node.id:
                client.lose("its node has left")
        for task in self._keepers.pop(node.id):
            task.cancel()

    async def _keep(self, node: Node) -> None:
        """Keep one client on a node, as long as the node is there."""
        pause, attempts = _PAUSES[0], 0
        while True:
            attempts += 1
            try:
                client = await self._start(node)
            except (RayError, UnreachableError, OSError) as error:
                if isinstance(error, (RayTaskError, RuntimeEnvSetupError)) or attempts == _ATTEMPTS:
                    self._failed.add(node.id)
                self._complain(node, reason(error))
            else:
                pause, attempts = _PAUSES[0], 0
                await self._use(client)
                if self._closing:
                    return
                self._lost_at[node.id] = node
                self._complain(node, client.why)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _PAUSES[1])

    async def _use(self, client: Client) -> None:
        """Offer a client until it is lost."""
        self.ready.append(client)
        self._speeds.joined(client.node.name)
        self._lost_since = None
        self._said.pop(client.node.id, None)
        self.changed.set()
        listener = self._task(self._listen(client))
        self._listeners.add(listener)
        listener.add_done_callback(self._listeners.discard)
        try:
            await client.lost.wait()
        finally:
            self.ready.remove(client)
            if not self.ready:
                self._lost_since = time.monotonic()
            self.changed.set()

    async def _listen(self, client: Client) -> None:
        try:
            while not self._closing:
                seconds = max(_NEWS_SECONDS, len(self.ready) / _MOST_REPORTS)
                self._hear(client, await client.actor.news.remote(seconds))
        except RayError as error:
            client.lose(reason(error))

    async def _start(self, node: Node) -> Client:
        """Start a client, and before the first one the node's server. Raises RayError, UnreachableError, OSError."""
        self._started = number = self._started + 1
        urls = await self._urls(node)
        actor = actor_on(node, NodeClient, f"client {number}", self._run, self._reading, str(Path.cwd()))
        try:
            facts = await actor.connect.remote(urls, self._where.processes)
            self.facts = self.facts or facts
            self.changed.set()
            if facts.model_versions != self.facts.model_versions:
                raise UnreachableError("its server has other model versions than the rest of the run")
            journal = await actor.begin.remote(await asyncio.shield(self._session), number)
        except BaseException:
            with suppress(Exception):
                ray.kill(actor)
            raise
        silence = max(_SILENCE_SECONDS, 4 * self._run.access.timeout)
        return Client(node, number, actor, facts.window, journal, silence=silence)

    async def _urls(self, node: Node) -> list[str]:
        """The servers of a node. Raises RayError, UnreachableError."""
        if self._where.urls:
            return [url.replace("{node}", node.address) for url in self._where.urls]
        if node.id not in self._servers:
            self._servers[node.id] = actor_on(
                node,
                NodeServer,
                f"server {self._started}",
                node.gpus,
                self._where.server_options,
                num_gpus=node.gpus,
                max_restarts=-1,
                max_task_retries=-1,
                max_concurrency=2 + self._where.processes,
            )
        try:
            return [await self._servers[node.id].address.remote()]
        except RayTaskError:  # another attempt needs another actor
            self._servers.pop(node.id, None)
            raise

    def _complain(self, node: Node, why: str) -> None:
        self.problem = f"node {node.name}: {why}"
        if not self._closing and self._said.get(node.id) != why:
            self._said[node.id] = why
            self._say(f"{self.problem}; its rows go to others until it is back")
        self.changed.set()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something beside the run, whose error ends the run."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._error = self._error or task.exception()
            self.changed.set()

    async def _next_change(self, seconds: float) -> None:
        # Not wait_for: the traceback of its TimeoutError would keep the caller's block until a garbage collection.
        change = asyncio.ensure_future(self.changed.wait())
        await asyncio.wait({change}, timeout=seconds)
        change.cancel()
        self.changed.clear()


async def _all_ended(calls: list[Any], seconds: float) -> None:
    """Wait for the last calls of actors, which may be dead."""
    if calls:
        waiting = [asyncio.ensure_future(_awaited(call)) for call in calls]
        await asyncio.wait(waiting, timeout=seconds)


async def _awaited(call: Any) -> None:
    with suppress(RayError):
        await call
