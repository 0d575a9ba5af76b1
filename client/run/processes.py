"""Several processes for one run, each with a shard of its rows, where one core is not enough.

Each worker is this program's pipeline with its own connection and its own journal; what it has to tell comes to the
parent by a pipe, and when the parent is gone the pipe says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from typing import Any

from client.errors import TableError, UnreachableError
from client.input.row import Shard
from client.light.columns import find_columns
from client.output.folder import SettingsChangedError
from client.run.pipeline import Pipeline, Watcher
from client.run.run import Run
from client.triton.allocator import keep_freed_memory

# What a worker's run may end with; the parent raises it again.
_ENDS = (UnreachableError, SettingsChangedError, TableError, OSError)


@dataclass(frozen=True)
class _End:
    """A worker's last word."""

    interrupted: bool = False
    error: Exception | None = None


def shards(whole: Shard, count: int) -> list[Shard]:
    """A shard's rows as `count` shards."""
    return [replace(whole, number=whole.number + whole.count * k, count=whole.count * count) for k in range(count)]


async def relight_in_processes(
    run: Run, count: int, session: int, watcher: Watcher, interruptions: Callable[[Callable[[], None]], Any]
) -> bool:
    """All rows of `run` by `count` processes; True where they were interrupted. Raises as Pipeline.relight_all."""
    context = multiprocessing.get_context("spawn")  # gRPC's threads do not survive a fork
    workers: list[tuple[BaseProcess, Pipe]] = []
    for shard in shards(run.shard, count):
        ours, theirs = context.Pipe()
        process: BaseProcess = context.Process(target=_work, args=(replace(run, shard=shard), session, theirs))
        with _undisturbed():
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
            pipe.close()  # to a worker that still runs, the end
            worker.join()
    for one in ends:
        if one.error is not None:
            raise one.error
    return any(one.interrupted for one in ends)


async def _listen(pipe: Pipe, watcher: Watcher, interrupt: Callable[[], None]) -> _End:
    """Hand what a worker says to the watcher; returns its last word. A worker that fails ends the others."""
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[Any] = asyncio.Queue()

    def hear() -> None:
        while pipe.poll():
            try:
                told.put_nowait(pipe.recv())
            except EOFError:
                loop.remove_reader(pipe.fileno())
                told.put_nowait(_End(error=OSError("a worker process died; run the command again to go on")))
                return

    loop.add_reader(pipe.fileno(), hear)
    while not isinstance(word := await told.get(), _End):
        name, *arguments = word
        getattr(watcher, name)(*arguments)
    loop.remove_reader(pipe.fileno())
    if word.error is not None:
        interrupt()
    return word


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """What is started in the block ignores Ctrl-C: the parent passes it on, once."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Reporter:
    """A watcher that tells the parent."""

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


def _work(run: Run, session: int, pipe: Pipe) -> None:
    """The life of a worker process."""
    keep_freed_memory()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        end = _End(interrupted=asyncio.run(_relight_shard(run, session, pipe)))
    except _ENDS as error:
        end = _End(error=error)
    with contextlib.suppress(OSError):
        pipe.send(end)


async def _relight_shard(run: Run, session: int, pipe: Pipe) -> bool:
    folder, source = run.folder(), run.source()
    past = folder.past()
    rows = source.rows(past.left(run.kept) if len(past.states) else None)
    del past
    reporter = _Reporter(pipe)

    @contextlib.contextmanager
    def ordered(interrupt: Callable[[], None]) -> Iterator[None]:
        """Each message of the parent is a Ctrl-C; when its end of the pipe closes it has died, and so does this one."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            with contextlib.suppress(RuntimeError):  # the run has ended and its loop is closed
                while True:
                    try:
                        pipe.recv()
                    except (EOFError, OSError):
                        os._exit(1)
                    loop.call_soon_threadsafe(interrupt)

        threading.Thread(target=hear, daemon=True).start()
        yield

    async with run.access.ready(run.window, reporter.say) as (servers, facts):
        columns, journal = find_columns(source.columns), folder.journal(session)
        pipeline = Pipeline(run, source.folder, columns, servers, facts, folder, journal)
        return await pipeline.relight_all(rows, reporter, ordered)
