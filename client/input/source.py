"""The input of a run: a table, a folder or a glob of photos, opened for one pass that keeps nothing in memory.

A row that cannot be used becomes a row with an error, never the end of the run.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import BinaryIO

from client.errors import RowError, TableError, shown
from client.input.csv_file import Record, read_csv, stream_starts
from client.input.folders import find_listing
from client.input.parquet_file import MARK, read_parquet
from client.input.remote import is_remote, open_remote
from client.output.names import name_of

IMAGE_COLUMN = "image_path"
STDIN = "-"
_TABLE_SUFFIXES = (".gz", ".csv", ".parquet")
_SECRETS = re.compile(r"(?<=://)[^/@]*@|\?.*", re.DOTALL)


@dataclass(frozen=True)
class Row:
    """One row: `values` in the order of the columns, as many as there are."""

    index: int  # position in the whole input, from 0, whatever the shard
    values: tuple[str, ...]
    image_path: str  # as written
    error: str | None = None  # why the row cannot be used, where the input itself is at fault
    id: str | None = None  # as written in the id column

    @property
    def name(self) -> str:
        """The stem of the row's files, which no other row has."""
        return name_of(self.index, self.id)

    def __str__(self) -> str:
        """The row as people count them: from 1, with its photo."""
        return f"row {self.index + 1} ({shown(self.image_path) or 'no photo'})"


@dataclass(frozen=True)
class Shard:
    """Every `count`-th block of rows: those with index // block % count == number - 1, where numbers count from 1.

    Index, name, light and files of a row are the same in every shard and in the whole: a run may be cut another way
    in its middle, and shards may share one folder.
    """

    number: int = 1
    count: int = 1
    block: int = 1  # rows that stay together: those of a tar

    def __contains__(self, index: int) -> bool:
        return index // self.block % self.count == self.number - 1


WHOLE = Shard()

# Tells, of the index of the first of some records and the records, the places of those that are still to be done.
Left = Callable[[int, Sequence[Record]], Iterable[int]]
_BLOCK = 256  # records looked at together: one by one costs more than reading them, and so do more (garbage collection)


@dataclass(frozen=True)
class Source:
    """An input opened for one pass."""

    columns: tuple[str, ...]
    folder: str  # where relative photo paths start: a local folder or a URL
    stem: str  # what the output is called after
    identity: str  # kind, place and columns: what a resumed run must have in common with its first
    _records: Generator[Record, None, None]
    _row: Callable[[int, Record], Row]
    _limit: int | None
    _shard: Shard

    def rows(self, left: Left | None = None) -> Generator[Row, None, None]:
        """The rows of the shard, in order; with `left` only those, the others cost next to nothing.

        Raises TableError in mid-way where the rest cannot be read.
        """
        with contextlib.closing(self._records):
            records = islice(self._records, self._limit)
            if left is None:
                yield from (self._row(index, record) for index, record in enumerate(records) if index in self._shard)
                return
            start = 0
            while block := list(islice(records, _BLOCK)):
                for place in left(start, block):
                    if start + place in self._shard:
                        yield self._row(start + place, block[place])
                start += len(block)

    def close(self) -> None:
        """Close the input unread."""
        self._records.close()


@dataclass(frozen=True)
class _Found:
    """An input before its columns have a meaning."""

    kind: str
    place: str
    folder: str
    columns: Sequence[str]
    records: Generator[Record, None, None]
    total: int | None = None  # of its records, where it is known beforehand


def parse_shard(text: str) -> Shard:
    """`2/8` as the second of eight shards. Raises ValueError with a sentence."""
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise ValueError(f"the shard {text!r} must be i/n with i from 1 to n, such as 2/8")


def open_source(
    text: str,
    *,
    limit: int | None = None,
    shard: Shard = WHOLE,
    id_column: str | None = None,
    image_column: str = IMAGE_COLUMN,
) -> Source:
    """The input that `text` names, its header read.

    Args:
        text: a CSV, plain or gzipped, or a Parquet file, by path or URL; `-` for a CSV on stdin; a folder, for the
            images in it and all below; or a glob of images, where `**` stands for folders of any depth.
        limit: how many rows of the input count, before it is cut into shards.
        shard: the rows to read.
        id_column: the column that files are named after, besides the index.
        image_column: the column with the photos' paths.

    Raises:
        TableError: there is no such input, it is empty, or one of the columns is missing or there twice.
    """
    found = _find(text, image_column)
    names = [name.strip() for name in found.columns]
    try:
        image_at = _position(text, names, image_column)
        id_at = None if id_column is None else _position(text, names, id_column)
    except TableError:
        found.records.close()
        raise
    width = len(names)

    def row(index: int, record: Record) -> Row:
        error = None
        if isinstance(record, RowError):
            error, record = str(record), []
        elif len(record) != width:
            error = (
                f"the row has {len(record)} fields where the header names {width} columns; "
                "put quotes around a field that holds a comma, or fill in the missing ones"
            )
        values = tuple(record) if len(record) == width else (*record, *[""] * width)[:width]
        if error is None and not values[image_at].strip():
            error = f"{image_column} is empty; write the photo's path there"
        return Row(index, values, values[image_at], error, None if id_at is None else values[id_at])

    return Source(
        columns=tuple(found.columns),
        folder=found.folder,
        stem=stem_of(text),
        identity=f"{found.kind} {found.place} {','.join(names)}",
        _records=found.records,
        _row=row,
        _limit=limit,
        _shard=shard,
    )


def stem_of(text: str) -> str:
    """What the output of an input is called: the table's name without its ending, the folder's name, `stdin`."""
    if text == STDIN:
        return "stdin"
    if is_remote(text):
        name = PurePath(text.partition("?")[0]).name
    else:
        listing = find_listing(text)
        name = (listing.folder if listing else Path(text)).absolute().name
    for suffix in _TABLE_SUFFIXES:
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name.strip(".") or "photos"


def count_rows(text: str, *, limit: int | None = None, shard: Shard = WHOLE) -> int | None:
    """How many rows `open_source` would give; None for a pipe or a URL, which are read only once.

    One pass that keeps nothing. Raises TableError.
    """
    if text == STDIN or is_remote(text) or Path(text).is_fifo():
        return None
    found = _find(text, IMAGE_COLUMN)
    with contextlib.closing(found.records):
        total = sum(1 for _ in found.records) if found.total is None else found.total
    cycles, rest = divmod(total if limit is None else min(total, limit), shard.block * shard.count)
    return cycles * shard.block + min(max(rest - (shard.number - 1) * shard.block, 0), shard.block)


def _find(text: str, image_column: str) -> _Found:
    """What `text` names. Raises TableError."""
    local = text != STDIN and not is_remote(text)
    # A key in a URL is a secret, and another one the next time.
    place = str(Path(text).absolute()) if local else _SECRETS.sub("", text)
    try:
        if local and (listing := find_listing(text)):
            records = (path if isinstance(path, RowError) else [path] for path in listing.paths())
            return _Found("images", place, str(listing.folder), [image_column], records)
        folder = str(Path(text).parent) if local else text.rpartition("/")[0]
        stream = _open(text)
        if stream_starts(stream, MARK):
            columns, rows, total = read_parquet(stream, shown(text))
            return _Found("parquet", place, folder, columns, rows, total)
        return _Found("csv", place, folder, *read_csv(stream, shown(text)))
    except (OSError, ValueError, ImportError) as error:  # ValueError: a character no path can hold
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"the table {shown(text)} cannot be opened ({reason}); check --csv") from error


def _open(text: str) -> BinaryIO:
    """The table's bytes, buffered. Raises OSError."""
    if text == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return open_remote(text) if is_remote(text) else Path(text).open("rb")


def _position(text: str, names: Sequence[str], wanted: str) -> int:
    """Which column is called `wanted`. Raises TableError unless exactly one is."""
    if names.count(wanted) == 1:
        return names.index(wanted)
    if wanted in names:
        raise TableError(f"the table {shown(text)} has {names.count(wanted)} columns {wanted}; rename all but one")
    raise TableError(
        f"the table {shown(text)} has no column {wanted}; the columns found are: {', '.join(map(shown, names))}. "
        f"Rename the column that is meant to {wanted}, and separate columns by commas"
    )
