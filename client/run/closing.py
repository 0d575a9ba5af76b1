"""What is written when a session ends: packed files, the tables, and the records and the card of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace

from client.input.duplicates import repeated
from client.input.row import Row
from client.output.card import CARD, Making, write_card
from client.output.counts import Counts
from client.output.folder import RunFolder
from client.output.journal import NO_MARKS, Past, read_marks
from client.output.lines import Lines, written
from client.output.numbering import Numbering
from client.output.pieces import PIECES, packed_files, packed_records, waiting_numbers
from client.output.prune import prune
from client.output.records import Records
from client.output.table import Totals, write_tables
from client.run.reading import Reading
from client.run.run import Run


def close_session(run: Run, folder: RunFolder, reading: Reading, *, prune_gone: bool) -> tuple[Totals, str]:
    """Write all that depends on the whole table; return the totals, and in a sentence which photos occur again.

    Shards have no records and no card: a run without `--shard` writes them for all. Raises OSError.
    """
    records, counts = reading.records, Counts(reading.records)
    pack_rest(folder, records)
    past = folder.past(marks=bool(run.splits.shares))
    numbering = reading.numbering(past)
    is_dataset = run.shard.count == 1 and run.plan.dataset != "null"
    with written(folder.path, records) if is_dataset and not run.plan.is_packed else nullcontext() as lines:
        totals = _write_tables(run, folder, reading, past, numbering, counts, lines)
    gone = gone_rows(run, numbering)
    if prune_gone:
        prune(folder, records, gone, numbering.is_gone)
    if is_dataset:
        if run.plan.is_packed:
            _count(folder, counts, records)
        making = Making(run.command, folder.networks(), reading.splitter.is_used)
        write_card(folder.path, records, counts, totals, making)
    folder.close(*([folder.path / CARD] if is_dataset else []))
    left = numbering.left()
    del past, numbering  # of 10 million rows they take 100 MB, and the marks as much again
    marks = read_marks(folder.journals, len(left)) if run.duplicates == "warn" else NO_MARKS
    return (totals if prune_gone else replace(totals, gone=gone)), repeated(marks, left)


def pack_rest(folder: RunFolder, records: Records) -> None:
    """Pack what waits for that, and upload what a store has not got yet. Raises OSError."""
    unpublished = folder.store.unpublished() if folder.store else ()
    for number in sorted({*waiting_numbers(folder.path), *unpublished}):
        folder.pack(records, number)
    with suppress(OSError):  # another shard has written a piece
        (folder.path / PIECES).rmdir()


def _count(folder: RunFolder, counts: Counts, records: Records) -> None:
    """Add what the pictures in the packed files are like."""
    if folder.store:
        folder.store.count(counts)
    else:
        counts.add(packed_records(packed_files(folder.path), records.plan))


def gone_rows(run: Run, numbering: Numbering) -> Sequence[int]:
    """After the last row: the numbers of rows that are done and gone from the table; none if it was not read whole."""
    return [] if run.limit is not None else numbering.gone().tolist()


def _write_tables(
    run: Run,
    folder: RunFolder,
    reading: Reading,
    past: Past,
    numbering: Numbering,
    counts: Counts,
    lines: Lines | None,
) -> Totals:
    def see(row: Row) -> None:
        if lines is not None:
            counts.add(lines.add(row))

    rows = (reading.placed(row, past.mark(row.number)) for row in reading.source.rows(numbering))
    source = reading.source
    return write_tables(folder, run.plan, past, source.columns, rows, source.public_folder, see)
