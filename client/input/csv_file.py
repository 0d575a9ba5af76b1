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
from typing import BinaryIO, cast

from client.errors import RowError, TableError
from client.input.folders import IMAGE_SUFFIXES

# A record of a table: its fields, or why it cannot be read.
Record = list[str] | RowError

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_csv(stream: BinaryIO, name: str) -> tuple[list[str], Generator[Record, None, None]]:
    """Return the header and the records that are not empty; messages call the CSV `name`.

    Empty columns at the header's end, as Excel writes them, are left out. Bytes that are not UTF-8 become surrogate
    escapes, so that such file names still open. Raises TableError, also from the records if the stream ends early.
    """
    plain = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream) if stream_starts(stream, _GZIP) else stream)
    records = _records(plain, name)
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


def _records(stream: io.BufferedReader, name: str) -> Generator[Record, None, None]:
    lines = None
    try:
        with stream:
            # UTF-16 without a byte order mark: one byte of the first letter is zero.
            if stream_starts(stream, *_UTF_16) or b"\0" in stream.peek(2)[:2]:
                raise TableError(f"the CSV {name} is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)")
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            lines = _Lines(text)
            yield from _parsed(lines)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"after line {lines.last}" if lines and lines.last else "at its start"
        raise TableError(f"the CSV {name} cannot be read {where} ({reason}); copy it again") from error


class _Lines:
    """The lines of a text, which holds those of the current record and can give them out again."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.held: list[str] = []
        self.before = 0  # lines before those held
        self._text = text
        self._again: deque[str] = deque()

    @property
    def last(self) -> int:
        """The number of the last line that was given out, from 1."""
        return self.before + len(self.held)

    def __iter__(self) -> Iterator[str]:
        while True:
            while self._again:
                self.held.append(self._again.popleft())
                yield self.held[-1]
            for line in self._text:
                self.held.append(line)
                yield line
                if self._again:
                    break
            else:
                return

    def next_record(self) -> None:
        """Let go of the lines held."""
        self.before += len(self.held)
        self.held.clear()

    def keep_first(self) -> None:
        """Hold the first line alone; give out the others again."""
        self._again.extendleft(reversed(self.held[1:]))
        del self.held[1:]


def _parsed(lines: _Lines) -> Generator[Record, None, None]:
    """The records that are not empty. Memory holds the lines of one record, which csv's limit of a field bounds."""
    header: list[str] = []
    while True:
        try:
            for record in csv.reader(lines, strict=True):
                if len(lines.held) > 1 and header and _swallows_rows(lines.held, len(header)):
                    yield _unclosed(lines)
                elif any(record) and (len(record) > 1 or record[0].strip()):
                    header = header or record
                    yield record
                lines.next_record()
            return
        except csv.Error as error:
            yield _unclosed(lines) if len(lines.held) > 1 else _read_alone(lines, error)
            lines.next_record()


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
        return RowError(f"line {lines.last} of the CSV cannot be read ({error}); check its quotes")
    return record


def _swallows_rows(lines: Sequence[str], width: int) -> bool:
    """Whether a record of several lines is rather several rows: its first line and another one name a photo each."""
    first, *others = (line.replace('"', "").split(",") for line in lines)
    return any(
        len(first) == len(other) == width and any(map(_name_photos, zip(first, other, strict=True))) for other in others
    )


def _name_photos(fields: Sequence[str]) -> bool:
    return all(field.strip().lower().endswith(IMAGE_SUFFIXES) for field in fields)
