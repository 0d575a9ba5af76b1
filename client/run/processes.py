"""Runs one run in several processes, each with a shard of its rows, if one core is not enough.

Each worker runs the pipeline with its own connections and journal. It reports to the parent through a pipe, and exits
when the parent closes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any

from client.errors import TableError, UnreachableError
from client.input.row import Shard
from client.output.settings import SettingsChangedError
from client.run import event_loop
from client.run.pipeline import Pipeline, Watcher
from client.run.reading import Reading, open_reading
from client.run.run import Run
from client.triton.allocator import keep_freed_memory

# Errors that end a worker's run; the parent raises them again.
_ENDS = (UnreachableError, SettingsChangedError, TableError, OSError)


@dataclass(frozen=True)
class _End:
    """A worker's last message."""

    interrupted: bool = False
    error: Exception | None = None


def shards(whole: Shard, count: int) -> list[Shard]:
    """Split a shard into `count` shards."""
    return [replace(whole, number=whole.number + whole.count * k, count=whole.count * count) for k in range(count)]


async def relight_in_processes(
    run: Run,
    reading: Reading,
    count: int,
    session: int,
    watcher: Watcher,
    interruptions: Callable[[Callable[[], None]], Any],
) -> bool:
    """Relight all rows in `count` processes; return whether they were interrupted. Raises as Pipeline.relight_all."""
    context = multiprocessing.get_context("spawn")  # gRPC's threads do not survive a fork
    workers: list[tuple[BaseProcess, Pipe]] = []
    for shard in shards(run.shard, count):
        ours, theirs = context.Pipe()
        arguments = (replace(run, shard=shard), reading.duplicates, session, theirs)
        process: BaseProcess = context.Process(target=_work, args=arguments)
        with _ctrl_c_ignored():
            process.start()
        theirs.close()
        workers.append((process, ours))

    def interrupt() -> None:
        for _, pipe in workers:
            with contextlib.suppress(OSError):
                pipe.send(None)

    try:
        with interruptions(interrupt):
            ends = await asyncio.gather(*(_listen(pipe, watcher, interrupt) for _, pipe in workers))
    finally:
        for worker, pipe in workers:
            pipe.close()  # ends a worker that still runs
            worker.join()
    for one in ends:
        if one.error is not None:
            raise one.error
    return any(one.interrupted for one in ends)


async def _listen(pipe: Pipe, watcher: Watcher, interrupt: Callable[[], None]) -> _End:
    """Pass a worker's messages to the watcher; return the last one. A worker that fails ends the others."""
    loop = asyncio.get_running_loop()
    messages: asyncio.Queue[Any] = asyncio.Queue()

    def receive() -> None:
        while pipe.poll():
            try:
                messages.put_nowait(pipe.recv())
            except EOFError:
                loop.remove_reader(pipe.fileno())
                messages.put_nowait(_End(error=OSError("a worker process died; the same command resumes the run")))
                return

    loop.add_reader(pipe.fileno(), receive)
    while not isinstance(message := await messages.get(), _End):
        name, *arguments = message
        getattr(watcher, name)(*arguments)
    loop.remove_reader(pipe.fileno())
    if message.error is not None:
        interrupt()
    return message


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Processes started in the block ignore Ctrl-C: the parent forwards it once."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Reporter:
    """A watcher that reports to the parent."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def row_done(self) -> None:
        """See Watcher."""
        self._pipe.send(("row_done",))

    def row_failed(self, sentence: str) -> None:
        """See Watcher."""
        self._pipe.send(("row_failed", sentence))

    def say(self, sentence: str) -> None:
        """See Watcher."""
        self._pipe.send(("say", sentence))


def _work(run: Run, duplicates: Mapping[int, int], session: int, pipe: Pipe) -> None:
    """The main function of a worker process."""
    keep_freed_memory()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        end = _End(interrupted=event_loop.run(_relight_shard(run, duplicates, session, pipe)))
    except _ENDS as error:
        end = _End(error=error)
    with contextlib.suppress(OSError):
        pipe.send(end)


async def _relight_shard(run: Run, duplicates: Mapping[int, int], session: int, pipe: Pipe) -> bool:
    folder, reading = run.folder(), open_reading(run, duplicates)
    rows = reading.rows(reading.numbering(folder.past(), run.kept))
    reporter = _Reporter(pipe)

    @contextlib.contextmanager
    def ordered(interrupt: Callable[[], None]) -> Iterator[None]:
        """Interrupt at each message from the parent; exit when the parent has died, which closes the pipe."""
        loop = asyncio.get_running_loop()

        def receive() -> None:
            with contextlib.suppress(RuntimeError):  # the run has ended and its loop is closed
                while True:
                    try:
                        pipe.recv()
                    except (EOFError, OSError):
                        os._exit(1)
                    loop.call_soon_threadsafe(interrupt)

        threading.Thread(target=receive, daemon=True).start()
        yield

    async with run.access.ready(run.window, reporter.say) as (servers, facts):
        journal = folder.journal(session)
        pipeline = Pipeline(run, reading, servers, facts, folder, journal)
        return await pipeline.relight_all(rows, reporter, ordered)
