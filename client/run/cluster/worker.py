"""The client of one node, a Ray actor: runs the pipeline over the blocks that the driver sends it.

Nothing of a picture goes through Ray: rows come, counts go back. The actor keeps its connections and its journal
between blocks, and the next block fills the places that the last rows of the one before leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from client.errors import TableError, UnreachableError
from client.input.remote import is_remote
from client.input.row import Row
from client.output.journal import Journal
from client.output.settings import SettingsChangedError
from client.run.cluster.own_folder import own_folder
from client.run.pipeline import Pipeline
from client.run.reading import Reading
from client.run.run import Run
from client.triton.allocator import keep_freed_memory
from client.triton.connection import Facts

# Errors that end a run on one machine too. (An UnreachableError ends this client alone.)
ENDS = (UnreachableError, SettingsChangedError, TableError, OSError)


@dataclass
class News:
    """What has happened since the last news."""

    finished: int = 0  # rows; into a store they count once they are there
    done: int = 0  # rows
    failures: dict[int, str] = field(default_factory=dict)  # sentences by the rows' numbers
    said: list[str] = field(default_factory=list)  # other messages for the user
    error: Exception | None = None  # one of ENDS, which has ended this client


class NodeClient:
    """Relights blocks of rows on the servers of its node. Several calls may run at once."""

    def __init__(self, run: Run, reading: Reading, folder: str) -> None:
        """`folder` is the driver's current one, where relative paths start. Raises OSError if one needs it here."""
        keep_freed_memory()
        gc.freeze()  # Ray's many objects, which the collector would look through again and again
        try:
            os.chdir(folder)
        except OSError:
            photos = reading.source.folder
            if not (is_remote(photos) or Path(photos).is_absolute()):
                raise
        self._run, self._reading = run, reading
        self._news = News()
        self._rows: SimpleQueue[Row | None] = SimpleQueue()
        self._closing = contextlib.AsyncExitStack()
        self._interrupt: Callable[[], None] = lambda: None
        self._stopping, self._over = False, asyncio.Event()

    async def connect(self, urls: Sequence[str], processes: int) -> Facts:
        """Connect to the servers at `urls`, which as many `processes` of this node share. Raises UnreachableError."""
        access, window = replace(self._run.access, urls=tuple(urls)), self._run.window
        if processes > 1:
            async with access.ready(window, self._say) as (_, facts):
                window = -(-facts.window // processes)
        self._servers, self._facts = await self._closing.enter_async_context(access.ready(window, self._say))
        return self._facts

    async def begin(self, session: int, number: int) -> Path | None:
        """Begin a journal of the client's own, named after the run's `session` and its `number`. Raises OSError.

        Returns its place, or None if the files go into a store, and with them what the journal has.
        """
        run = self._run
        if run.store:
            run = replace(run, output=self._closing.enter_context(own_folder(run.output)))
        self._folder = run.folder()
        journal = self._folder.begin_client(session, number)
        self._closing.callback(journal.close)
        self._pipeline = _BlockPipeline(run, self._reading, self._servers, self._facts, self._folder, journal)
        self._work = asyncio.ensure_future(self._pipeline.relight_all(self._read(), self, self._ordered))
        return journal.path if isinstance(journal, Journal) else None

    async def relight(self, rows: Sequence[Row]) -> News:
        """Relight rows; return the news when all of them are finished, or the client ends before."""
        unpublished = News() if self._run.store else None
        finished = self._pipeline.expect(rows, partial(self._note, unpublished))
        for row in rows:
            self._rows.put(row)
        ends: list[asyncio.Future[Any]] = [finished, self._work]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not finished.done():
            try:
                self._work.result()
            except ENDS as error:
                self._news.error = error
        if unpublished is not None:
            await self._publish(rows, unpublished)
        return self._take_news()

    async def news(self, seconds: float) -> News:
        """The news, after so many seconds or at the end."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
        return self._take_news()

    async def stop(self) -> None:
        """The first time send no new calls, the second time drop the answers of those in flight."""
        self._stopping = True
        self._interrupt()
        self._rows.put(None)

    async def finish(self) -> None:
        """Close what is open, once the calls that nobody waits for any more are answered."""
        self._rows.put(None)
        with contextlib.suppress(*ENDS):
            await self._work
        await self._closing.aclose()
        self._over.set()

    def row_done(self) -> None:
        """See Watcher; `_note` has counted the row."""

    def row_failed(self, sentence: str) -> None:
        """See Watcher; `_note` has counted the row."""

    def say(self, sentence: str) -> None:
        """See Watcher."""
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        if not self._stopping:  # all clients say the same then, and the driver says it for them
            self._news.said.append(sentence)

    def _note(self, unpublished: News | None, row: Row, cause: str) -> None:
        self._news.finished += 1
        news = self._news if unpublished is None else unpublished
        if cause:
            news.failures[row.number] = f"{row}: {cause}"
        else:
            news.done += 1

    async def _publish(self, rows: Sequence[Row], news: News) -> None:
        """Put what is left of the rows into the store; then they count."""
        try:
            await asyncio.to_thread(self._folder.publish, self._reading.records, {row.number for row in rows})
        except OSError as error:
            self._news.error = self._news.error or error
            return
        self._news.done += news.done
        self._news.failures |= news.failures

    def _take_news(self) -> News:
        news, self._news = self._news, News()
        return news

    def _read(self) -> Generator[Row, None, None]:
        """The rows of all blocks, one after the other."""
        while (row := self._rows.get()) is not None:
            yield row

    @contextlib.contextmanager
    def _ordered(self, interrupt: Callable[[], None]) -> Iterator[None]:
        self._interrupt = interrupt
        if self._stopping:
            interrupt()
        yield


class _BlockPipeline(Pipeline):
    """A pipeline that knows when all rows of a block are finished."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._expected: dict[int, tuple[_Rest, Callable[[Row, str], None]]] = {}  # by the rows' numbers

    def expect(self, rows: Sequence[Row], note: Callable[[Row, str], None]) -> asyncio.Future[None]:
        """A future that is done when all `rows` are finished; `note` is called with each, and why it failed."""
        rest = _Rest(len(rows))
        self._expected |= {row.number: (rest, note) for row in rows}
        return rest.finished

    async def relight_row(self, row: Row) -> str:
        """See Pipeline."""
        cause = await super().relight_row(row)
        rest, note = self._expected.pop(row.number)
        note(row, cause)
        rest.finish_one()
        return cause


class _Rest:
    """The rows of a block that are not finished."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish_one(self) -> None:
        self._count -= 1
        if not self._count and not self.finished.done():
            self.finished.set_result(None)
