"""What a run reads: its input, what its columns mean, and the rows that it leaves out."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, replace

from client.errors import RowError, TableError
from client.input.duplicates import find_duplicates, override_cells
from client.input.own_columns import own_width
from client.input.row import WHOLE, Row
from client.input.source import Source
from client.input.splits import Splitter, content_digest
from client.light.columns import OverrideColumns, Overrides, find_columns
from client.output.journal import Past
from client.output.numbering import Numbering
from client.output.records import Records
from client.run.run import Run


@dataclass(frozen=True)
class Reading:
    """An opened input."""

    source: Source
    overrides: OverrideColumns
    splitter: Splitter
    records: Records
    needs_marks: bool  # whether rows have what tells their photo's content
    duplicates: Mapping[int, int]  # rows that are left out, each with the earlier one that has its photo, by index

    @property
    def deciding(self) -> tuple[int, ...]:
        """The columns on which a row's files depend: in a packed dataset all, as its records are in them."""
        if self.records.plan.is_packed:
            return tuple(range(own_width(self.source.columns)))
        return (*self.overrides.places.values(), *self.splitter.places)

    def numbering(self, past: Past, kept: Collection[int] = ()) -> Numbering:
        """The numbers of the rows; those with a state of `kept` in the past are only counted."""
        return Numbering(past, self.source.identifier(self.deciding), kept)

    def rows(self, numbering: Numbering | None = None) -> Generator[Row, None, None]:
        """The rows as Source.rows gives them, with an error in those that are left out."""
        for row in self.source.rows(numbering):
            first = self.duplicates.get(row.index)
            if first is None:
                yield row
            else:
                yield replace(row, error=f"the photo is that of row {first + 1}; --duplicates keep relights it too")

    def mark(self, row: Row, photo: bytes) -> int:
        """64 bits that two rows have in common if they have the same photo and override the same."""
        return content_digest(photo) ^ self._asked_digest(row)

    def placed(self, row: Row, mark: int) -> Row:
        """The row with its split, if that is known; `mark` is 0 where the photo is not."""
        is_needed = mark and self.splitter.needs_content(row)
        return self.splitter.placed(row, mark ^ self._asked_digest(row) if is_needed else 0)

    def _asked_digest(self, row: Row) -> int:
        cells = override_cells(row, tuple(self.overrides.places.values()))
        return content_digest(cells) if cells else 0

    def asked(self, row: Row) -> Overrides:
        """What the row's columns ask for. Raises RowError."""
        if row.error is not None:
            raise RowError(row.error)
        self.splitter.check(row)
        return self.overrides.read(row.values)


def open_reading(run: Run, duplicates: Mapping[int, int] | None = None) -> Reading:
    """Open the input of a run, and find its `duplicates` where they are left out. Raises TableError."""
    source = run.source()
    try:
        splitter = run.splits.of_table(source.columns)
        overrides = find_columns(source.columns)
        if duplicates is None:
            duplicates = _duplicates(run, source, overrides) if run.duplicates == "skip" else {}
    except TableError:
        source.close()
        raise
    needs_marks = run.duplicates == "warn" or bool(run.splits.shares)
    return Reading(source, overrides, splitter, Records(run.plan, source.columns), needs_marks, duplicates)


def _duplicates(run: Run, source: Source, overrides: OverrideColumns) -> dict[int, int]:
    if source.once:
        raise TableError("--duplicates skip reads the table twice, and a pipe only once; save the table to a file")
    whole = replace(run, shard=WHOLE)  # what is first in the table does not depend on shards
    places = tuple(overrides.places.values())
    return find_duplicates(lambda: whole.source().rows(), source.folder, places, run.access.timeout)
