"""The input of a run: a table, a folder or a glob of photos, streamed as often as needed.

A row that cannot be used becomes a row with an error; it does not end the run.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from client.errors import RowError, TableError, shown
from client.input.csv_file import Record, read_csv, stream_starts
from client.input.folders import Listing, find_listing
from client.input.identity import Identifier
from client.input.own_columns import folder_column
from client.input.parquet_file import MARK, read_parquet
from client.input.remote import is_remote, open_remote
from client.input.row import WHOLE, Identity, Row, Shard

IMAGE_COLUMN = "image_path"
STDIN = "-"
_TABLE_SUFFIXES = (".gz", ".csv", ".parquet")
_SECRETS = re.compile(r"(?<=://)[^/@]*@|\?.*", re.DOTALL)

# From the next records to the positions of those that are wanted, and what their rows are known by.
Numbered = Callable[[Sequence[Record]], Iterable[tuple[int, Identity | None]]]
_BLOCK = 256  # records numbered at once: smaller and larger blocks (garbage collection) cost more per record


class Source:
    """An input: its header and its rows, which can be read several times.

    Attributes:
        columns: the names in the header.
        folder: where relative photo paths start: a local folder or a URL.
        public_folder: the same for another day and place: absolute, and without the keys in a URL.
        identity: kind, place and columns, which a resumed run must share with the first one.
        once: whether the input is a pipe, which only this process can read.
    """

    def __init__(
        self,
        text: str,
        *,
        limit: int | None = None,
        shard: Shard = WHOLE,
        id_column: str | None = None,
        image_column: str = IMAGE_COLUMN,
    ) -> None:
        """Open the input that `text` names, and read its header.

        Args:
            text: a CSV, plain or gzipped, or a Parquet file, by path or URL; `-` for a CSV on stdin; a folder, for the
                images in it and all below; or a glob of images, where `**` stands for folders of any depth.
            limit: how many rows to use, counted before sharding.
            shard: the rows to read.
            id_column: the column that files are named after, besides the index.
            image_column: the column with the photos' paths.

        Raises TableError: there is no such input, it is empty, or one of the columns is missing or occurs twice.
        """
        self._text, self._limit, self._shard, self._image_column = text, limit, shard, image_column
        self._opened: _Found | None = _find(text, image_column)
        found = self._opened
        names = [name.strip() for name in found.columns]
        try:
            self._image_at = _position(text, names, image_column)
            self._id_at = None if id_column is None else _position(text, names, id_column)
        except TableError:
            found.records.close()
            raise
        self.columns, self.folder = tuple(found.columns), found.folder
        is_url = is_remote(self.folder)
        self.public_folder = public_place(self.folder) if is_url else str(Path(self.folder).absolute())
        self._folder_at = folder_column(self.columns)
        self.identity = f"{found.kind} {found.place} {','.join(names)}"
        self.once = text == STDIN or (_is_local(text) and _is_pipe(Path(text)))
        self._listing: Listing | None = None
        # A pipe's records, kept for further passes.
        self._kept: BinaryIO | None = tempfile.TemporaryFile() if self.once else None  # noqa: SIM115

    def __getstate__(self) -> dict[str, Any]:
        """Without what is open: another process knows the input, and reads a file or URL from its beginning."""
        return self.__dict__ | {"_opened": None, "_listing": None, "_kept": None}

    def identifier(self, overrides: Iterable[int]) -> Identifier:
        """What tells the rows apart; `overrides` are the columns that change a row's files, besides the photo's."""
        own = [self._image_at] if self._folder_at is None else [self._image_at, self._folder_at]
        return Identifier(len(self.columns), tuple(dict.fromkeys((*own, *overrides))), self._id_at)

    def rows(self, numbered: Numbered | None = None) -> Generator[Row, None, None]:
        """Yield the shard's rows in order, with `numbered` only those it selects. Raises TableError if reading fails.

        `numbered` sees the records of all shards.
        """
        # A pipe may be silent for long: each of its rows is used when it comes.
        size = 1 if self.once and self._opened is not None else _BLOCK
        with contextlib.closing(self._records()) as all_records:
            records = islice(all_records, self._limit)
            start = 0
            while block := list(islice(records, size)):
                for place, identity in numbered(block) if numbered else ((k, None) for k in range(len(block))):
                    if start + place in self._shard:
                        yield self._row(start + place, block[place], identity)
                start += len(block)

    def count(self) -> int | None:
        """Count the rows in a separate pass; None for a pipe or a URL, which are read only once. Raises TableError."""
        if self.once or not _is_local(self._text):
            return None
        found = _find(self._text, self._image_column)
        with contextlib.closing(found.records):
            total = sum(1 for _ in found.records) if found.total is None else found.total
        block, count = self._shard.block, self._shard.count
        cycles, rest = divmod(total if self._limit is None else min(total, self._limit), block * count)
        return cycles * block + min(max(rest - (self._shard.number - 1) * block, 0), block)

    def left_out(self) -> str:
        """After the last row: what a folder or glob holds besides photos, in a sentence; empty if nothing."""
        return self._listing.left_out() if self._listing else ""

    def close(self) -> None:
        """Close the input if no pass has begun."""
        if self._opened is not None:
            self._opened.records.close()

    def _records(self) -> Generator[Record, None, None]:
        """All records: from the stream that gave the header, from a new one, or from the copy of a pipe."""
        opened, self._opened = self._opened, None
        if self._kept is None:
            found = opened or _find(self._text, self._image_column)
            self._listing = found.listing
            yield from found.records
        elif opened is not None:
            for record in opened.records:
                pickle.dump(record, self._kept)
                yield record
        else:
            self._kept.seek(0)
            yield from _unpickled(self._kept)

    def _row(self, index: int, record: Record, identity: Identity | None) -> Row:
        error, width = None, len(self.columns)
        if isinstance(record, RowError):
            error, record = str(record), []
        elif len(record) < width or any(record[width:]):  # Excel writes empty fields behind the last column
            error = (
                f"the row has {len(record)} fields but the header names {width} columns; "
                "put quotes around a field that holds a comma, or fill in the missing ones"
            )
        values = (*record, *[""] * width)[:width]
        image_path = values[self._image_at]
        if error is None and not image_path.strip():
            error = f"{self._image_column} is empty; write the photo's path there"
        identifier = None if self._id_at is None else values[self._id_at]
        folder = None if self._folder_at is None else values[self._folder_at] or None
        return Row(index, values, image_path, error, identifier, identity, folder)


def _unpickled(stream: BinaryIO) -> Iterator[Record]:
    with contextlib.suppress(EOFError):
        while True:
            yield pickle.load(stream)


def _is_local(text: str) -> bool:
    return text != STDIN and not is_remote(text)


def _is_pipe(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


@dataclass(frozen=True)
class _Found:
    """An opened input, its columns not looked up yet."""

    kind: str
    place: str
    folder: str
    columns: Sequence[str]
    records: Generator[Record, None, None]
    total: int | None = None  # number of records, if known in advance
    listing: Listing | None = None


def parse_shard(text: str) -> Shard:
    """Parse `2/8`, the second of eight shards. Raises ValueError with a sentence."""
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise ValueError(f"the shard {text!r} must be i/n with i from 1 to n, such as 2/8")


def public_place(text: str) -> str:
    """The place of an input without the keys in a URL."""
    return _SECRETS.sub("", text) if is_remote(text) else text


def stem_of(text: str) -> str:
    """The name of an input's output: the table's name without its ending, the folder's name, or `stdin`."""
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


def _find(text: str, image_column: str) -> _Found:
    """Open the input that `text` names. Raises TableError."""
    local = _is_local(text)
    # A key in a URL is secret, and differs between runs.
    place = str(Path(text).absolute()) if local else public_place(text)
    try:
        if local and (listing := find_listing(text)):
            records = (path if isinstance(path, RowError) else [path] for path in listing.paths())
            return _Found("images", place, str(listing.folder), [image_column], records, listing=listing)
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
    """The position of the column `wanted`. Raises TableError unless there is exactly one."""
    if names.count(wanted) == 1:
        return names.index(wanted)
    if wanted in names:
        raise TableError(f"the table {shown(text)} has {names.count(wanted)} columns {wanted}; rename all but one")
    raise TableError(
        f"the table {shown(text)} has no column {wanted}; the columns found are: {', '.join(map(shown, names))}. "
        f"Rename the right column to {wanted}, and separate columns by commas"
    )
