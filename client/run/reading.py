"""What a run reads: its input, what its columns mean, and the rows that it leaves out."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from client.errors import RowError, TableError
from client.input.duplicates import find_duplicates
from client.input.own_columns import own_width
from client.input.row import WHOLE, Row
from client.input.source import Source
from client.input.splits import Splitter
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

    def placed(self, rows: Iterable[Row], past: Past) -> Iterator[Row]:
        """The rows with their splits, as far as they are known."""
        return (self.splitter.placed(row, past.digest(row.number)) for row in rows)

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
    return Reading(source, overrides, splitter, Records(run.plan, source.columns), duplicates)


def _duplicates(run: Run, source: Source, overrides: OverrideColumns) -> dict[int, int]:
    if source.once:
        raise TableError("--duplicates skip reads the table twice, and a pipe only once; save the table to a file")
    whole = replace(run, shard=WHOLE)  # what is first in the table does not depend on shards
    places = tuple(overrides.places.values())
    return find_duplicates(lambda: whole.source().rows(), source.folder, places, run.access.timeout)
