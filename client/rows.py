"""The reader: streams a CSV of photos row by row, and finds and reads the photo of a row.

Only `image_path` is required; every other column is carried along untouched. Memory does not grow
with the file. A row that cannot be used becomes a row with an error, never the end of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

IMAGE_COLUMN = "image_path"


class TableError(Exception):
    """The CSV as a whole cannot be used; the message is a sentence with the remedy."""


class RowError(Exception):
    """One row cannot be done; the message is a sentence with the reason and the remedy."""


@dataclass(frozen=True)
class Row:
    """One data row: `values` in the order of the header, as many as it has columns."""

    index: int  # position among the data rows, from 0; names the row's files
    values: tuple[str, ...]
    image_path: str  # as written
    error: str | None = None  # why the row cannot be used, where the CSV itself is at fault

    def __str__(self) -> str:
        """The row as people count them: from 1, with its photo."""
        return f"row {self.index + 1} ({self.image_path or 'no photo'})"


@dataclass(frozen=True)
class Table:
    """A CSV opened for one pass: its columns, and a generator that closes the file at its end."""

    columns: tuple[str, ...]
    rows: Generator[Row, None, None]


def read_table(path: Path) -> Table:
    """Open the CSV at `path` (UTF-8, with or without a byte order mark) and read its header.

    Bytes that are not UTF-8 survive as surrogate escapes, so that odd file names still open.
    Raises TableError where there is no such file, it is empty, or no column is `image_path`.
    """
    try:
        stream = _open(path)
    except OSError as error:
        raise TableError(f"the CSV {path} cannot be opened ({error.strerror}); check --csv") from error
    records = _records(stream)
    header = next(records, None)
    if header is None or isinstance(header, csv.Error):
        stream.close()
        raise TableError(f"the CSV {path} has no header row; its first line must name the columns")
    columns = tuple(header)
    names = [name.strip() for name in columns]
    if IMAGE_COLUMN not in names:
        stream.close()
        raise TableError(
            f"the CSV {path} has no column {IMAGE_COLUMN}; the columns found are: "
            f"{', '.join(names)}. Rename the column that holds the photos' paths to "
            f"{IMAGE_COLUMN}, and separate columns by commas"
        )
    return Table(columns, _rows(stream, records, columns, names.index(IMAGE_COLUMN)))


def count_rows(path: Path) -> int | None:
    """The number of data rows, by one pass that keeps nothing; None for a pipe, read only once."""
    if not path.is_file():
        return None
    with _open(path) as stream:
        return max(0, sum(1 for _ in _records(stream)) - 1)


def find_image(image_path: str, folder: Path) -> Path:
    """Where the photo is: relative paths start at the CSV's `folder`, else the current directory.

    Raises RowError, naming every place tried, where there is no such file.
    """
    places = [folder / image_path]  # an absolute image_path replaces the folder
    if not Path(image_path).is_absolute():
        places.append(Path.cwd() / image_path)
    for place in places:
        try:
            if place.is_file():
                return place
        except OSError as error:  # a name too long, a folder that may not be entered
            raise RowError(f"{str(place)[:200]} cannot be read ({error.strerror}); correct {IMAGE_COLUMN}") from error
    tried = " nor ".join(str(place) for place in dict.fromkeys(places))
    raise RowError(f"there is no file {tried}; correct {IMAGE_COLUMN} or put the photo there")


def read_image(image_path: str, folder: Path) -> bytes:
    """The photo's bytes, untouched. Raises RowError where it is missing, unreadable or empty."""
    place = find_image(image_path, folder)
    try:
        image = place.read_bytes()
    except OSError as error:
        raise RowError(f"the file {place} cannot be read ({error.strerror})") from error
    if not image:
        raise RowError(f"the file {place} is empty; copy the photo again")
    return image


class RowQueue:
    """Reads rows in a thread, never more than `span` ahead of the oldest unfinished one.

    The thread is a daemon, so a pipe that never ends does not keep the program from ending.
    """

    def __init__(self, table: Table, span: int, limit: int | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Row | OSError | None] = asyncio.Queue()
        self._room = threading.Semaphore(span)
        self._ended = False
        threading.Thread(target=self._read, args=(table.rows, limit), daemon=True).start()

    async def next(self) -> Row | None:
        """The next row, or None for good after the last one. Raises OSError from the disk."""
        item = await self._items.get()
        if item is None or self._ended:
            self._items.put_nowait(None)  # for the next one who asks
            return None
        if isinstance(item, OSError):
            raise item
        return item

    def finished(self, rows: int) -> None:
        """So many of the oldest rows are finished: as many more may be read."""
        if rows:
            self._room.release(rows)

    def end(self) -> None:
        """Hand out nothing more."""
        self._ended = True
        self._items.put_nowait(None)
        self._room.release()

    def _read(self, rows: Generator[Row, None, None], limit: int | None) -> None:
        last: OSError | None = None
        try:
            for row in islice(rows, limit):
                self._room.acquire()
                if self._ended:
                    break
                self._hand_over(row)
        except OSError as error:
            last = error
        rows.close()
        self._hand_over(last)

    def _hand_over(self, item: Row | OSError | None) -> None:
        with contextlib.suppress(RuntimeError):  # the run has ended and its loop is closed
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)


def _open(path: Path) -> TextIO:
    return path.open(newline="", encoding="utf-8-sig", errors="surrogateescape")


def _records(stream: TextIO) -> Iterator[list[str] | csv.Error]:
    """Every record that is not blank; a record the csv module refuses is yielded as its error."""
    reader = csv.reader(stream)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error
            continue
        if len(record) > 1 or (record and record[0].strip()):
            yield record


def _rows(
    stream: TextIO,
    records: Iterator[list[str] | csv.Error],
    columns: tuple[str, ...],
    image_column: int,
) -> Generator[Row, None, None]:
    width = len(columns)
    with stream:
        for index, record in enumerate(records):
            if isinstance(record, csv.Error):
                error: str | None = f"the CSV cannot be read here ({record}); check its quotes"
                record = []
            elif len(record) != width:
                error = (
                    f"the row has {len(record)} fields where the header names {width} columns; "
                    "put quotes around a field that holds a comma, or fill in the missing ones"
                )
            else:
                error = None
            values = tuple((record + [""] * width)[:width])
            image_path = values[image_column]
            if error is None and not image_path.strip():
                error = f"{IMAGE_COLUMN} is empty; write the photo's path there"
            yield Row(index, values, image_path, error)
