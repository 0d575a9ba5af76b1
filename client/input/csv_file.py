"""Reads a CSV from a byte stream: plain or gzipped, with or without a byte order mark, in UTF-8 or with other bytes."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO, cast

from client.errors import RowError, TableError

# A record of a table: its fields, or why it cannot be read.
Record = list[str] | RowError

_GZIP = b"\x1f\x8b"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_csv(stream: BinaryIO, name: str) -> tuple[list[str], Generator[Record, None, None]]:
    """Return the header and the non-blank records; messages call the CSV `name`.

    Bytes that are not UTF-8 become surrogate escapes, so that such file names still open. Raises TableError, also from
    the records if the stream ends early.
    """
    plain = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream) if stream_starts(stream, _GZIP) else stream)
    records = _records(plain, name)
    header = next(records, None)
    if header is None or isinstance(header, RowError):
        stream.close()
        raise TableError(f"the CSV {name} has no header row; its first line must name the columns")
    return header, records


def stream_starts(stream: BinaryIO, *marks: bytes) -> bool:
    """Whether a buffered stream continues with one of `marks`; consumes nothing."""
    return cast(io.BufferedReader, stream).peek(max(map(len, marks))).startswith(marks)


def _records(stream: io.BufferedReader, name: str) -> Generator[Record, None, None]:
    reader = None
    try:
        with stream:
            # UTF-16 without a byte order mark: one byte of the first letter is zero.
            if stream_starts(stream, *_UTF_16) or b"\0" in stream.peek(2)[:2]:
                raise TableError(f"the CSV {name} is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)")
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
            reader = csv.reader(text)
            yield from _parsed(reader)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        where = f"after line {reader.line_num}" if reader and reader.line_num else "at its start"
        raise TableError(f"the CSV {name} cannot be read {where} ({reason}); copy it again") from error


def _parsed(reader: Iterator[list[str]]) -> Generator[Record, None, None]:
    while True:
        try:
            for record in reader:
                if len(record) > 1 or (record and record[0].strip()):
                    yield record
            return
        except csv.Error as error:
            yield RowError(f"the CSV cannot be read here ({error}); check its quotes")
