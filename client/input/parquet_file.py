"""Reads a Parquet file in batches of rows, each value as the text that a CSV would hold."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, BinaryIO

from client.errors import TableError
from client.input.csv_file import Record

MARK = b"PAR1"
_ROWS_AT_ONCE = 1000


def read_parquet(stream: BinaryIO, name: str) -> tuple[list[str], Generator[Record, None, None], int]:
    """Return columns, records and their number; messages call the file `name`. Raises TableError."""
    try:
        import pyarrow.parquet  # an extra, not needed for CSVs
    except ImportError as error:
        raise TableError(f"{name} needs the extra `parquet`: pip install 'relight-triton[parquet]'") from error
    if not stream.seekable():
        raise TableError(f"the Parquet file {name} cannot be read as a stream; save it first")
    try:
        file = pyarrow.parquet.ParquetFile(stream)
    except (OSError, pyarrow.ArrowException) as error:
        raise TableError(f"the Parquet file {name} cannot be read ({error}); write it again") from error

    def records() -> Generator[Record, None, None]:
        with stream:
            batches = file.iter_batches(_ROWS_AT_ONCE)
            while True:
                try:
                    batch = next(batches)
                    columns = [_texts(column) for column in batch.columns]
                except StopIteration:
                    return
                except (OSError, pyarrow.ArrowException) as error:
                    raise TableError(f"the rest of {name} cannot be read ({error}); write it again") from error
                yield from map(list, zip(*columns, strict=True))

    return list(file.schema_arrow.names), records(), int(file.metadata.num_rows)


def _texts(column: Any) -> list[str]:
    """A column's values as texts: a missing one is empty, float32 keeps its shortest digits."""
    import pyarrow

    try:
        values = column.cast(pyarrow.string()).to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError):  # lists, or bytes that are not UTF-8
        values = column.to_pylist()
    return [_text(value) for value in values]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)
