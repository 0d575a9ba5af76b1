"""Relights a table on a Ray cluster: gives blocks of rows to whichever client is free.

The driver reads the table once and remembers only the blocks in flight. A block of a client that died comes back,
without the rows that its journal has; one that clients died with again and again is reported by row.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import AsyncIterator, Collection, Generator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import ray
from ray.exceptions import RayError

from client.errors import UnreachableError
from client.input.row import Row
from client.output.journal import DONE, read_causes, read_states
from client.run.cluster.blocks import MOST_FAILURES, Block, cut
from client.run.cluster.clients import Clients
from client.run.cluster.handle import Client, reason
from client.run.cluster.nodes import end_orphans, join
from client.run.cluster.speeds import Speeds
from client.run.cluster.where import Where
from client.run.cluster.worker import News
from client.run.pipeline import Interruptions
from client.run.progress import Progress
from client.run.reading import Reading
from client.run.row_queue import RowQueue
from client.run.run import Run
from client.triton.connection import Facts

_READ_AHEAD = 2  # blocks


class Cluster:
    """A run's clients on a Ray cluster, and the blocks they have. Use `ready_cluster`."""

    def __init__(self, run: Run, reading: Reading, where: Where, progress: Progress) -> None:
        self._run, self._folder, self._progress = run, run.folder(), progress
        self._speeds = Speeds()
        self._clients = Clients(run, reading, where, self._speeds, self._hear, progress.say)
        self._returned: deque[Block] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._interrupted = False
        self._error: Exception | None = None  # which ends the run

    async def wait_for_first(self) -> Facts:
        """The facts of the first client's servers. Raises UnreachableError."""
        return await self._clients.first(self._run.access.wait)

    async def relight_all(self, rows: Generator[Row, None, None], session: int, interruptions: Interruptions) -> bool:
        """Relight every row; return whether the run was interrupted. Raises as Pipeline.relight_all.

        The caller holds the folder's lock.
        """
        await asyncio.to_thread(end_orphans)
        self._folder.end_client()
        self._journal = self._folder.journal(session)
        self._table: RowQueue[Block] = RowQueue(cut(rows, self._run.plan), _READ_AHEAD)
        self._clients.begin(session)
        self._progress.nodes = self._speeds
        try:
            with interruptions(self._interrupt):
                try:
                    await self._give_out()
                finally:
                    self._table.end()
                    if self._in_flight:  # after an error: what is in flight may still be written
                        self._interrupted = True
                        self._clients.interrupt()
                        await asyncio.wait(self._in_flight)
        finally:
            self._journal.close()
            self._folder.end_client()
            if self._folder.store:
                await asyncio.to_thread(self._folder.store.refresh)
        return self._interrupted

    async def close(self) -> None:
        """End clients and servers."""
        await self._clients.close()

    def _interrupt(self) -> None:
        """The first time give out no further blocks, the second time drop the answers of calls in flight."""
        if not self._interrupted:
            self._interrupted = True
            self._table.end()
            self._progress.say("stopping: waiting for the photos in flight; Ctrl-C again drops them")
        self._clients.interrupt()
        self._clients.changed.set()

    async def _give_out(self) -> None:
        while True:
            if self._returned:
                block: Block | None = self._returned.popleft()
            else:
                block = await self._table.next()
                self._table.finished(1)  # it is read: another may be
            if block is not None:
                if (client := await self._free_client(block)) is not None:
                    self._send(block, client)
                continue
            if self._error is not None:
                raise self._error
            if not self._in_flight and not self._returned:
                break
            await self._clients.wait()

    async def _free_client(self, block: Block) -> Client | None:
        """The client with the least to do, once one has room for the block; None if the run is ending."""
        while not self._interrupted:
            if self._error is not None:
                raise self._error
            free = [client for client in self._clients.ready if client.may_take(block)]
            if self._folder.store and any(block.shares_a_file(one, self._run.plan) for one in self._given_out()):
                free = []  # only one at a time may write a file in a store
            if free:
                return min(free, key=lambda client: client.unfinished / client.window)
            await self._clients.wait()
        return None

    def _given_out(self) -> Iterator[Block]:
        return (block for client in self._clients.ready for block in client.blocks)

    def _send(self, block: Block, client: Client) -> None:
        client.blocks.add(block)
        client.unfinished += len(block.rows)
        task = asyncio.ensure_future(self._relight(block, client))
        self._in_flight.add(task)
        task.add_done_callback(self._ended)

    async def _relight(self, block: Block, client: Client) -> None:
        try:
            news = await client.actor.relight.options(name=str(block)).remote(block.rows)
        except RayError as error:
            client.lose(reason(error))
            await self._take_back(block, client)
            return
        finally:
            client.blocks.discard(block)
        self._hear(client, news)
        client.failed -= {row.number for row in block.rows}
        if isinstance(news.error, UnreachableError):  # no fault of the block's
            client.lose(str(news.error))
            await self._take_back(block, client, is_suspect=False)
        elif news.error is not None:
            raise news.error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and self._error is None:
            self._error = error if isinstance(error, Exception) else RuntimeError(str(error))
            self._table.end()
        self._clients.changed.set()

    async def _take_back(self, block: Block, client: Client, *, is_suspect: bool = True) -> None:
        """Let others do what a lost client has left of a block; a suspect one may be why it was lost."""
        self._folder.end_client(client.number)
        news, finished = await asyncio.to_thread(self._finished, block, client)
        self._hear(client, news)
        left = [row for row in block.rows if row.number not in finished]
        if not left or self._interrupted:
            return
        if not is_suspect:
            self._returned.append(replace(block, rows=left))
        elif block.failures + 1 < MOST_FAILURES:
            self._returned.extend(block.again(left))
        else:
            for row in left:
                cause = (
                    f"clients of the cluster ended {MOST_FAILURES} times with this row (the last time: {client.why})"
                )
                self._journal.failed(row.identity, cause, passing=True)
                self._progress.row_failed(f"{row}: {cause}; the same command tries it again")

    def _finished(self, block: Block, client: Client) -> tuple[News, Collection[int]]:
        """What a lost client has finished of a block and not reported, and the numbers of all rows it has finished."""
        rows = {row.number: row for row in block.rows}
        if client.journal is None:  # it reports rows that are in the store, when all of the block are
            published = self._folder.published(block.rows)
            return News(len(published), len(published)), published
        done, states = read_states(client.journal, rows)
        failures = _unheard_failures(client, client.journal, rows, states)
        return News(done - client.done + len(failures), done - client.done, failures), states.keys()

    def _hear(self, client: Client, news: News) -> None:
        """Show what a client reports."""
        for sentence in news.said:
            self._progress.say(f"{client.node.name}: {sentence}")
        for sentence in news.failures.values():
            self._progress.row_failed(sentence)
        for _ in range(news.done):
            self._progress.row_done()
        client.done += news.done
        client.failed |= news.failures.keys()
        client.progressed(news.finished)
        self._speeds.add(client.node.name, news.done)
        self._clients.changed.set()


def _unheard_failures(
    client: Client, journal: Path, rows: Mapping[int, Row], states: Mapping[int, int]
) -> dict[int, str]:
    """What a lost client has recorded and not reported of rows that failed, by their numbers."""
    failed = {number for number, state in states.items() if state > DONE} - client.failed
    causes = read_causes(journal) if failed else {}
    return {number: f"{rows[number]}: {causes.get(number, 'its cause was lost')}" for number in failed}


@asynccontextmanager
async def ready_cluster(
    run: Run, reading: Reading, where: Where, progress: Progress
) -> AsyncIterator[tuple[Cluster, Facts]]:
    """A cluster with at least one client ready, and the facts of its servers; the others join when they are.

    Raises UnreachableError.
    """
    run = replace(run, output=run.output.absolute())  # the nodes have the folder at the same place
    rows = f" {run.shard.number}/{run.shard.count}" if run.shard.count > 1 else ""
    await asyncio.to_thread(join, where.address, f"relight {run.output}{rows}")
    gc.freeze()  # beside Ray's many objects, Python would let the rows of many blocks become garbage first
    gc.collect()
    try:
        cluster = Cluster(run, reading, where, progress)
        try:
            yield cluster, await cluster.wait_for_first()
        finally:
            await cluster.close()
    finally:
        gc.unfreeze()
        ray.shutdown()
