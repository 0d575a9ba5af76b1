"""One session of a run: what earlier ones left is found, the rest is done, and the tables are written."""

from __future__ import annotations

import asyncio
import pickle
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from client.errors import TableError, UnreachableError
from client.input.source import WHOLE, Row, Source, count_rows
from client.light.columns import find_columns
from client.output.folder import RunFolder
from client.output.journal import Past
from client.output.table import Totals, write_tables
from client.output.tars import PIECES, join_pieces, waiting_tars
from client.run.interruptions import Interruptions
from client.run.pipeline import relight_rows
from client.run.processes import relight_in_processes
from client.run.progress import Progress
from client.run.run import Run
from client.triton.connection import Facts


def relight_input(
    run: Run,
    progress: Progress,
    interruptions: Interruptions,
    *,
    processes: int,
    restart: bool,
    anyway: bool,
) -> tuple[Totals, bool, UnreachableError | None]:
    """Every row that is not done yet.

    Returns the totals of all sessions, whether this one was interrupted, and why it ended where no server was left.
    Raises TableError, UnreachableError or SettingsChangedError before the first row, OSError where the disk fails.
    """
    once = is_pipe(run.input)
    if once and processes > 1:
        raise TableError("a pipe has one reader; save the table to a file for --processes")
    source = run.open()
    for warning in find_columns(source.columns).warnings:
        progress.say(f"warning: {warning}")
    facts = ask_servers(run, progress)
    folder = RunFolder(run.folder)
    if restart:
        with folder.claimed(WHOLE):
            folder.forget()
    with folder.claimed(run.shard), tempfile.TemporaryFile() as spool:
        folder.agree(run.settings(source.identity, facts.model_versions), anyway=anyway)
        past = folder.past()
        progress.earlier = _count(past, run)
        threading.Thread(target=_set_total, args=(run, progress), daemon=True).start()
        progress.begin()
        session, interrupted, unreachable = folder.next_session(), False, None
        try:
            if processes > 1:
                source.close()
                share = replace(run, window=-(-facts.window // processes))
                work = relight_in_processes(share, processes, session, progress, interruptions.handled)
            else:
                rows = _rows_to_do(source, past, run, spool if once else None)
                journal = folder.journal(session, run.shard)
                work = relight_rows(run, source, rows, folder, journal, progress, interruptions.handled)
            interrupted = asyncio.run(work)
        except UnreachableError as error:
            unreachable = error
        del past
        totals = _finish(run, folder, source, _again(run, spool if once else None))
    return totals, interrupted, unreachable


def rebuild_tables(run: Run) -> Totals:
    """The tables once more, from the journal. Raises TableError, or OSError where the disk fails."""
    source = run.open()
    folder = RunFolder(run.folder)
    if not folder.journals.is_dir():
        raise TableError(f"there is no journal in {folder.journals}; give --csv and --output as the run had them")
    return _finish(run, folder, source, source.rows())


def ask_servers(run: Run, progress: Progress) -> Facts:
    """What the servers say of themselves. Raises UnreachableError."""
    return asyncio.run(_find(run, progress))


def is_pipe(text: str) -> bool:
    """Whether the input can be read only once."""
    return text == "-" or (Path(text).exists() and not Path(text).is_file() and not Path(text).is_dir())


async def _find(run: Run, progress: Progress) -> Facts:
    servers = run.connection.servers(progress.say)
    try:
        return await servers.find(run.connection.wait, run.window)
    finally:
        await servers.close()


def _rows_to_do(source: Source, past: Past, run: Run, spool: BinaryIO | None) -> Generator[Row, None, None]:
    """The rows that are not as they should be yet; those of a pipe are kept in `spool` to be read again."""
    if spool is None:
        return source.rows(past.left(run.kept) if len(past.states) else None)
    state_of, kept = past.finder(), run.kept
    return (row for row in _copied(source.rows(), spool) if state_of(row.index, row.values) not in kept)


def _copied(rows: Iterable[Row], spool: BinaryIO) -> Iterator[Row]:
    for row in rows:
        pickle.dump(row, spool)
        yield row


def _again(run: Run, spool: BinaryIO | None) -> Iterable[Row]:
    """The input once more."""
    if spool is None:
        return run.open().rows()
    spool.seek(0)
    return _unpickled(spool)


def _unpickled(spool: BinaryIO) -> Iterator[Row]:
    with suppress(EOFError):
        while True:
            yield pickle.load(spool)


def _finish(run: Run, folder: RunFolder, source: Source, rows: Iterable[Row]) -> Totals:
    for number in waiting_tars(folder.path):
        if number * run.plan.rows_per_tar in run.shard:
            join_pieces(folder.path, number)
    with suppress(OSError):  # another shard's pieces are still in there
        (folder.path / PIECES).rmdir()
    return write_tables(run, folder.past(), source.columns, rows)


def _count(past: Past, run: Run) -> int:
    """How many rows earlier sessions have finished, as far as the index tells."""
    kept = np.isin(past.states[: run.limit], list(run.kept))
    index = np.arange(len(kept), dtype=np.uint32)
    return int(np.count_nonzero(kept[index // run.shard.block % run.shard.count == run.shard.number - 1]))


def _set_total(run: Run, progress: Progress) -> None:
    with suppress(TableError):  # the run itself meets it, and says so
        progress.total = count_rows(run.input, limit=run.limit, shard=run.shard)
