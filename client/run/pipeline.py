"""The pipeline: reads each row's photo, sends it to a server and writes its files, with many rows in flight."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

from client.errors import PassingError, RowError, StoppedError
from client.input.photos import read_image
from client.input.remote import is_remote
from client.input.row import Row
from client.light.columns import OverrideColumns, Overrides
from client.light.draw import draw_lights
from client.light.light import Light, check_patterns, light_tensors, server_patterns
from client.output.files import row_files, writer_of
from client.output.folder import RunFolder
from client.output.journal import Journal
from client.run.row_queue import RowQueue
from client.run.run import Run
from client.triton.connection import Facts
from client.triton.request import photo_request, request_template, unpack
from client.triton.servers import Servers

_FILE_THREADS = 4  # hide a disk's latency; more would contend for the GIL
_REMOTE_THREADS = 32  # a network's latency is longer
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
        photos: str,
        columns: OverrideColumns,
        servers: Servers,
        facts: Facts,
        folder: RunFolder,
        journal: Journal,
    ) -> None:
        """`photos` is where relative photo paths start, a folder or a URL."""
        self._run, self._photos, self._columns = run, photos, columns
        self._servers, self._facts = servers, facts
        self._folder, self._journal = folder, journal
        self._writer = writer_of(folder.path, run.plan)
        self._template = request_template(run.thresholds, run.plan.request(), run.plan.pictures)

    async def relight_all(
        self, rows: Generator[Row, None, None], watcher: Watcher, interruptions: Interruptions
    ) -> bool:
        """Relight every row; return whether the run was interrupted. Finished rows are in the journal.

        Raises UnreachableError if no server is left, SettingsChangedError if a server's networks changed, TableError
        if the input cannot be read further, OSError if the disk fails.
        """
        threads = _REMOTE_THREADS if is_remote(self._photos) else _FILE_THREADS
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
        queue = RowQueue(rows, _SPAN_WINDOWS * self._facts.window)
        interrupted = False

        def end() -> None:
            self._servers.stop()
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

        async def do_rows() -> None:
            while (row := await queue.next()) is not None:
                with contextlib.suppress(StoppedError):
                    cause = await self.relight_row(row)
                    watcher.row_failed(f"{row}: {cause}") if cause else watcher.row_done()
                queue.finished(1)

        # Twice the window: photos are read and written while the window is full of calls.
        workers = [asyncio.ensure_future(do_rows()) for _ in range(2 * self._facts.window)]
        with interruptions(interrupt):
            try:
                await asyncio.gather(*workers)
            finally:
                # After an error of our own too: what is in flight may still be written.
                end()
                await asyncio.gather(*workers, return_exceptions=True)
        return interrupted

    async def relight_row(self, row: Row) -> str:
        """Relight one row and record its result in the journal; return why it failed, or an empty text."""
        try:
            if row.error is not None:
                raise RowError(row.error)
            asked = self._columns.read(row.values)
            lights, image, request = await asyncio.to_thread(self._prepare, row, asked)
            answer = await self._servers.send(request)
            await asyncio.to_thread(self._store, row, asked, lights, image, answer)
        except RowError as error:
            cause = str(error)
            self._journal.failed(row.index, row.values, cause, passing=isinstance(error, PassingError))
            await asyncio.to_thread(self._writer.finished, row)
            return cause
        return ""

    def _prompt(self, asked: Overrides) -> str:
        prompt: str = asked.get("prompt", self._run.prompt)
        return prompt

    def _prepare(self, row: Row, asked: Overrides) -> tuple[list[Light], bytes, Any]:
        run = self._run
        image = read_image(row.image_path, self._photos)
        lights = draw_lights(run.lighting, run.seed, row.image_path, run.plan.variants, asked)
        return lights, image, photo_request(self._template, image, self._prompt(asked), light_tensors(lights))

    def _store(self, row: Row, asked: Overrides, lights: list[Light], image: bytes, answer: Any) -> None:
        run = self._run
        reply = unpack(answer, {name: run.plan.count(name) for name in run.plan.pictures})
        self._folder.agree_on_networks(reply.info.get("models"))
        patterns = server_patterns(reply.info)
        try:
            check_patterns(lights, patterns)
        except ValueError as error:
            raise RowError(str(error)) from error
        metadata = {
            **reply.info,
            "image_path": row.image_path,
            "prompt": self._prompt(asked),
            "score_threshold": run.thresholds[0],
            "mask_threshold": run.thresholds[1],
            "seed": asked.get("seed", run.seed),
            "files_requested": run.plan.request(),
            "lights": [light.named(patterns) for light in lights],
            "model_versions": self._facts.model_versions,
        }
        try:
            self._writer.write(row, row_files(row, run.plan, image, reply.pictures, metadata))
        except OSError as error:
            if error.errno in _OWN_FAULTS:
                raise RowError(f"{error.filename} cannot be written ({error.strerror})") from error
            raise
        self._journal.done(row.index, row.values)
        self._writer.finished(row)
