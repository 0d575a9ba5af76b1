"""Reads a CSV from a byte stream: plain or gzipped, with or without a byte order mark, in UTF-8 or with other bytes.

A field in quotes may span lines. One whose quote is not closed would swallow the rows after it: its first line becomes
a row with an error, and the lines after it are read again as the rows that they are.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from itertools import chain, islice
from typing import BinaryIO, cast

from client.errors import RowError, TableError
from client.input.folders import IMAGE_SUFFIXES

# A record of a table: its fields, or why it cannot be read.
Record = list[str] | RowError

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_READ_ERRORS = (OSError, EOFError, zlib.error)
_LINES_AT_ONCE = 256


def read_csv(stream: BinaryIO, name: str) -> tuple[list[str], Generator[Record, None, None]]:
    """Return the header and the records that are not empty; messages call the CSV `name`.

    Empty columns at the header's end, as Excel writes them, are left out. Bytes that are not UTF-8 become surrogate
    escapes, so that such file names still open. Raises TableError, also from the records if the stream ends early.
    """
    plain = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream) if stream_starts(stream, _GZIP) else stream)
    records = _records(plain, name, _LINES_AT_ONCE if stream.seekable() else 1)  # a pipe may be silent for long
    header = next(records, None)
    if header is None or isinstance(header, RowError):
        stream.close()
        reason = "" if header is None else f" ({header})"
        raise TableError(f"the CSV {name} has no header row{reason}; its first line must name the columns")
    while header and not header[-1].strip():
        header.pop()
    return header, records


def stream_starts(stream: BinaryIO, *marks: bytes) -> bool:
    """Whether a buffered stream continues with one of `marks`; consumes nothing."""
    return cast(io.BufferedReader, stream).peek(max(map(len, marks))).startswith(marks)


def _records(stream: io.BufferedReader, name: str, at_once: int) -> Generator[Record, None, None]:
    lines = None
    try:
        with stream:
            # UTF-16 without a byte order mark: one byte of the first letter is zero.
            if stream_starts(stream, *_UTF_16) or b"\0" in stream.peek(2)[:2]:
                raise TableError(f"the CSV {name} is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)")
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            lines = _Lines(text, at_once)
            yield from chain.from_iterable(_parsed(lines))
    except _READ_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        where = f"after line {lines.last}" if lines and lines.last else "at its start"
        raise TableError(f"the CSV {name} cannot be read {where} ({reason}); copy it again") from error


class _Lines:
    """The lines of a text: some that wait, and those of the current record, which can wait again."""

    def __init__(self, text: io.TextIOWrapper, at_once: int) -> None:
        """`at_once`: how many lines to read before the first of them is used."""
        self.held: list[str] = []
        self.waiting: deque[str] = deque()
        self.before = 0  # lines before those held
        self.width: int | None = None  # of the header, when it was read
        self._text, self._at_once = text, at_once
        self._error: Exception | None = None

    @property
    def last(self) -> int:
        """The number of the last line held, from 1."""
        return self.before + len(self.held)

    def more(self) -> bool:
        """Whether there is another line, which then waits. Raises _READ_ERRORS, after the lines before the error."""
        if not self.waiting and self._error:
            raise self._error
        if not self.waiting:
            try:
                self.waiting.extend(islice(self._text, self._at_once if self.width else 1))
            except _READ_ERRORS as error:
                self._error = error
                return self.more()
        return bool(self.waiting)

    def __iter__(self) -> Iterator[str]:
        while self.more():
            self.held.append(self.waiting.popleft())
            yield self.held[-1]

    def next_record(self) -> None:
        """Let go of the lines held."""
        self.before += len(self.held)
        self.held.clear()

    def keep_first(self) -> None:
        """Hold the first line alone; the others wait again."""
        self.waiting.extendleft(reversed(self.held[1:]))
        del self.held[1:]


def _parsed(lines: _Lines) -> Generator[list[Record], None, None]:
    """The records that are not empty, some at a time. Memory holds few lines, or those of one record."""
    while lines.more():
        records = _quoted(lines) if '"' in "".join(lines.waiting) else _plain(lines)
        records = [
            one for one in records if isinstance(one, RowError) or (any(one) and (len(one) > 1 or one[0].strip()))
        ]
        if not lines.width and records and not isinstance(records[0], RowError):
            lines.width = len(records[0])
        yield records


def _plain(lines: _Lines) -> list[Record]:
    """The records in the lines that wait, which hold no quotes."""
    lines.held.extend(lines.waiting)
    lines.waiting.clear()
    records: list[Record] = []
    reader = csv.reader(lines.held)
    while True:
        try:
            records.extend(reader)
            break
        except csv.Error as error:
            records.append(_unreadable(lines.before + reader.line_num, error))
    lines.next_record()
    return records


def _quoted(lines: _Lines) -> list[Record]:
    """The records in the lines that wait, and the rest of the last one."""
    records: list[Record] = []
    while lines.waiting:
        try:
            for record in csv.reader(lines, strict=True):
                swallows = len(lines.held) > 1 and _swallows_rows(lines.held, lines.width)
                records.append(_unclosed(lines) if swallows else record)
                lines.next_record()
                if not lines.waiting:
                    break
        except csv.Error as error:
            records.append(_unclosed(lines) if len(lines.held) > 1 else _read_alone(lines, error))
            lines.next_record()
    return records


def _unclosed(lines: _Lines) -> RowError:
    lines.keep_first()
    return RowError(
        f"line {lines.last} of the CSV opens a quote that is not closed before the next rows begin; close it, or write "
        'two quotes ("") for one inside a field'
    )


def _read_alone(lines: _Lines, error: csv.Error) -> Record:
    """A line that is no correct CSV: with text after a closing quote, as many programs write it, it can be read."""
    try:
        (record,) = csv.reader(lines.held)
    except (csv.Error, ValueError):
        record = None
    if record is None or record[-1].endswith(("\n", "\r")):  # a quote that is not closed takes the line's end
        return _unreadable(lines.last, error)
    return record


def _unreadable(line: int, error: csv.Error) -> RowError:
    return RowError(f"line {line} of the CSV cannot be read ({error}); check its quotes")


def _swallows_rows(lines: Sequence[str], width: int | None) -> bool:
    """Whether a record of several lines is rather several rows: its first line and another one name a photo each."""
    first, *others = (line.replace('"', "").split(",") for line in lines)
    return any(
        len(first) == len(other) == width and any(map(_name_photos, zip(first, other, strict=True))) for other in others
    )


def _name_photos(fields: Sequence[str]) -> bool:
    return all(field.strip().lower().endswith(IMAGE_SUFFIXES) for field in fields)
