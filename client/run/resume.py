"""One session of a run: finds the unfinished rows, relights them, and writes the tables."""

from __future__ import annotations

import threading
from contextlib import AsyncExitStack, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np

from client.errors import TableError, UnreachableError
from client.input.row import WHOLE
from client.input.source import Source
from client.output.folder import RunFolder
from client.output.journal import SETTINGS, Past
from client.output.table import Totals
from client.run import event_loop
from client.run.closing import close_session
from client.run.cluster.where import Where
from client.run.interruptions import Interruptions
from client.run.pipeline import Pipeline
from client.run.processes import relight_in_processes
from client.run.progress import Progress
from client.run.reading import Reading, open_reading
from client.run.run import Run


@dataclass(frozen=True)
class How:
    """How a session works; a row's files do not depend on it."""

    processes: int
    restart: bool  # ignore what earlier sessions did
    anyway: bool  # keep what other settings made
    prune: bool  # remove the files of rows that are no longer in the table
    cluster: Where | None = None  # None: this machine alone


@dataclass(frozen=True)
class Outcome:
    """The totals of all sessions, whether this one was interrupted, and the error if no server was left."""

    totals: Totals
    interrupted: bool
    unreachable: UnreachableError | None


def relight_input(run: Run, how: How, progress: Progress, interruptions: Interruptions) -> Outcome:
    """Relight every row that is not done yet.

    Raises TableError, SettingsChangedError, OSError if the disk fails, and UnreachableError before the first row only.
    """
    reading = open_input(run, how, progress)
    folder = run.folder()
    with ExitStack() as claims:
        work = _relight_rest(run, how, reading, folder, claims, progress, interruptions)
        interrupted, unreachable = event_loop.run(interruptions.watched(work))
        is_whole = not interrupted and unreachable is None
        totals, repeats = close_session(run, folder, reading, prune_gone=how.prune and is_whole)
        for sentence in filter(None, (reading.source.left_out(), repeats)):
            progress.say(sentence)
        return Outcome(totals, interrupted, unreachable)


def open_input(run: Run, how: How, progress: Progress) -> Reading:
    """The input, with warnings about its columns to `progress`. Raises TableError."""
    reading = open_reading(run)
    if reading.source.once and how.processes > 1 and how.cluster is None:
        raise TableError("a pipe has one reader; save the table to a file for --processes")
    for warning in reading.overrides.warnings:
        progress.say(f"warning: {warning}")
    return reading


def rebuild_tables(run: Run) -> Totals:
    """Write the tables again from the journal, and what is made with them.

    Raises TableError, or OSError if the disk fails.
    """
    folder = run.folder()
    with folder.claimed() if folder.store else nullcontext():
        if not (folder.journals / SETTINGS).exists():
            place = folder.shown(folder.journals)
            raise TableError(f"there is no journal in {place}; give --csv and --output as the run had them")
        return close_session(run, folder, open_reading(run, duplicates={}), prune_gone=False)[0]


async def _relight_rest(
    run: Run,
    how: How,
    reading: Reading,
    folder: RunFolder,
    claims: ExitStack,
    progress: Progress,
    interruptions: Interruptions,
) -> tuple[bool, UnreachableError | None]:
    """Relight the rows that are not done; `claims` keeps the folder locked until the tables are written."""
    async with AsyncExitStack() as stack:
        if how.cluster is not None:
            # Imported only here: a plain install has no Ray.
            ready_cluster = import_module("client.run.cluster.driver").ready_cluster
            cluster, facts = await stack.enter_async_context(ready_cluster(run, reading, how.cluster, progress))
        else:
            servers, facts = await stack.enter_async_context(run.access.ready(run.window, progress.say))
        if how.restart:
            with folder.claimed(WHOLE):
                folder.forget()
        claims.enter_context(folder.claimed())
        folder.agree(run.settings(reading.source.identity, facts.model_versions), anyway=how.anyway)
        past = folder.past()
        progress.earlier = _count(past, run)
        threading.Thread(target=_set_total, args=(reading.source, progress), daemon=True).start()
        progress.begin()
        session = folder.next_session()
        try:
            if how.cluster is not None:
                rows = reading.rows(reading.numbering(past, run.kept))
                del past
                done = await cluster.relight_all(rows, session, interruptions.handled)
            elif how.processes > 1:
                share = replace(run, window=-(-facts.window // how.processes))
                done = await relight_in_processes(
                    share, reading, how.processes, session, progress, interruptions.handled
                )
            else:
                journal = folder.journal(session)
                rows = reading.rows(reading.numbering(past, run.kept))
                del past
                pipeline = Pipeline(run, reading, servers, facts, folder, journal)
                done = await pipeline.relight_all(rows, progress, interruptions.handled)
        except UnreachableError as error:
            return False, error
    return done, None


def _count(past: Past, run: Run) -> int:
    """The number of rows that earlier sessions have finished, by their numbers alone."""
    kept = np.isin(past.states[: run.limit], list(run.kept))
    number = np.arange(len(kept), dtype=np.uint32)
    return int(np.count_nonzero(kept[number // run.shard.block % run.shard.count == run.shard.number - 1]))


def _set_total(source: Source, progress: Progress) -> None:
    with suppress(TableError):  # the run itself reports it
        progress.total = source.count()
