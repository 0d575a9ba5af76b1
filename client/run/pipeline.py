"""The pipeline: reads each row's photo, sends it to a server and writes its files, with many rows in flight."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from client.errors import PassingError, RowError, StoppedError
from client.input.photos import is_on_web, read_image
from client.input.row import Row
from client.light.columns import Overrides
from client.light.light import check_patterns, server_patterns
from client.output.files import row_files, writer_of
from client.output.folder import RunFolder
from client.output.journal import Journal
from client.output.store.entries import EntryJournal
from client.run.downloads import Downloads
from client.run.prepare import Prepared, prepare
from client.run.reading import Reading
from client.run.row_queue import RowQueue
from client.run.run import Run
from client.run.spool import Spool
from client.triton.connection import Facts
from client.triton.parts import PhotoParts, Templates
from client.triton.servers import Servers

_FILE_THREADS = 4  # hide a disk's latency; more would contend for the GIL
_SPAN_WINDOWS = 4  # rows that are read and not finished, at most, in windows
# Disk errors that concern one file name, not the whole disk.
_OWN_FAULTS = (errno.EISDIR, errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTEMPTY)

# Within the block, calls its argument in the event loop at each request to end the run.
Interruptions = Callable[[Callable[[], None]], AbstractContextManager[None]]


class Watcher(Protocol):
    """Receives the progress of a run."""

    def row_done(self) -> None:
        """A row's files are written."""

    def row_failed(self, sentence: str) -> None:
        """A row failed for the reason given."""

    def say(self, sentence: str) -> None:
        """Another message for the user."""


class Pipeline:
    """Relights the rows of one run on ready servers. Create and use it inside one running event loop."""

    def __init__(
        self,
        run: Run,
        reading: Reading,
        servers: Servers,
        facts: Facts,
        folder: RunFolder,
        journal: Journal | EntryJournal,
    ) -> None:
        """`reading` is the input whose rows are relit."""
        self._run, self._reading, self._photos = run, reading, reading.source.folder
        self._servers, self._facts = servers, facts
        self._folder, self._journal = folder, journal
        self._downloads = Downloads(held=facts.window)
        self._writer = writer_of(folder.path, reading.records, folder.pack, folder.unfinished)
        self._templates = Templates(run.thresholds, run.plan.request(), run.plan.pictures)

    async def relight_all(
        self, rows: Generator[Row, None, None], watcher: Watcher, interruptions: Interruptions
    ) -> bool:
        """Relight every row; return whether the run was interrupted. Finished rows are in the journal.

        Raises UnreachableError if no server is left, SettingsChangedError if a server's networks changed, TableError
        if the input cannot be read further, OSError if the disk fails.
        """
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_FILE_THREADS))
        queue = RowQueue(rows, _SPAN_WINDOWS * self._facts.window)
        interrupted = False

        def end() -> None:
            self._servers.stop()
            self._downloads.stop()
            queue.end()

        def interrupt() -> None:
            """The first time send no new calls, the second time drop the answers of those in flight."""
            nonlocal interrupted
            if interrupted:
                self._servers.drop()
                return
            interrupted = True
            end()
            watcher.say(f"stopping: waiting for {self._servers.in_flight} photos in flight; Ctrl-C again drops them")

        async def do_row(row: Row) -> None:
            with contextlib.suppress(StoppedError):
                cause = await self.relight_row(row)
                watcher.row_failed(f"{row}: {cause}") if cause else watcher.row_done()

        async def do_rows() -> None:
            while (row := await queue.next()) is not None:
                if self._is_on_web(row):
                    await self._downloads.start(do_row(row))
                else:
                    await do_row(row)
                queue.finished(1)

        # Twice the window: photos are read and written while the window is full of calls.
        workers = [asyncio.ensure_future(do_rows()) for _ in range(2 * self._facts.window)]
        with interruptions(interrupt):
            try:
                await asyncio.gather(*workers)
                await self._downloads.finish()
            finally:
                # After an error of our own too: what is in flight may still be written.
                end()
                await asyncio.gather(*workers, self._downloads.finish(), return_exceptions=True)
        return interrupted

    async def relight_row(self, row: Row) -> str:
        """Relight one row and record its result in the journal; return why it failed, or an empty text."""
        try:
            asked = self._reading.asked(row)
            read = partial(read_image, row.image_path, row.folder or self._photos, self._run.access.timeout)
            if self._is_on_web(row):
                async with self._downloads.photo(read) as image:
                    await self._relight(row, asked, lambda: image)
            else:
                await self._relight(row, asked, read)
        except RowError as error:
            cause = str(error)
            self._journal.failed(row.identity, cause, passing=isinstance(error, PassingError))
            await asyncio.to_thread(self._writer.finished, row)
            return cause
        return ""

    def _is_on_web(self, row: Row) -> bool:
        return row.error is None and is_on_web(row.image_path, row.folder or self._photos)

    async def _relight(self, row: Row, asked: Overrides, read: Callable[[], bytes]) -> None:
        """Relight a photo, which `read` gives and may block for. Raises RowError."""
        prepared = await asyncio.to_thread(self._prepare, row, asked, read)
        answer = await self._last_answer(prepared.parts)
        await asyncio.to_thread(self._store, row, asked, prepared, answer)

    async def _last_answer(self, parts: PhotoParts) -> Any:
        """Send a photo's requests, of which there is one as a rule; return the last answer."""
        while True:
            try:
                answer = await self._servers.send(parts.request)
            except RowError as error:
                await asyncio.to_thread(parts.refused, error)
                continue
            if parts.is_last:
                return answer
            await asyncio.to_thread(parts.take, answer)

    def _prepare(self, row: Row, asked: Overrides, read: Callable[[], bytes]) -> Prepared:
        image, store = read(), Spool(self._folder.path)
        return prepare(self._run, self._templates, row, asked, self._photos, image, store)

    def _store(self, row: Row, asked: Overrides, prepared: Prepared, answer: Any) -> None:
        run, reading = self._run, self._reading
        reply = prepared.parts.take(answer)
        assert reply is not None, "the answer is the last one"
        self._folder.agree_on_networks(reply.info.get("models"))
        patterns = server_patterns(reply.info)
        try:
            check_patterns(prepared.lights, patterns)
        except ValueError as error:
            raise RowError(str(error)) from error
        metadata = {
            **reply.info,
            "image_path": row.image_path,
            "prompt": asked.get("prompt", run.prompt),
            "score_threshold": run.thresholds[0],
            "mask_threshold": run.thresholds[1],
            "seed": asked.get("seed", run.seed),
            "files_requested": run.plan.request(),
            "lights": [light.named(patterns, run.phrases) for light in prepared.lights],
            "model_versions": self._facts.model_versions,
        }
        mark = reading.mark(row, prepared.image) if reading.needs_marks else 0
        placed = reading.placed(row, mark)
        try:
            self._writer.write(placed, row_files(placed, reading.records, reply.pictures, metadata))
        except OSError as error:
            if error.errno in _OWN_FAULTS:
                raise RowError(f"{error.filename} cannot be written ({error.strerror})") from error
            raise
        self._journal.done(row.identity, mark)
        self._writer.finished(row)
