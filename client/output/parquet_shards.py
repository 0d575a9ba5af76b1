"""Parquet files of a dataset: a line for each picture, its files in columns that `datasets` shows as pictures."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from client.output.records import Records, Type
from client.output.tars import number_of, read_samples

_GROUP_ROWS, _GROUP_BYTES = 100, 64 << 20  # of a row group at most, which a reader has in memory as a whole

_Line = tuple[int, int, Any]  # the row's number, the place among its lines, and the line as a table


def pack_parquet(file: Path, records: Records, pieces: Mapping[int, Path], is_gone: Callable[[int], bool]) -> None:
    """Merge pieces, by their rows' numbers, into a Parquet file, which may not exist yet, atomically. Raises OSError.

    Rows that are gone are left out; without any row there is no file.
    """
    from pyarrow import parquet

    schema, unfinished = schema_of(records), file.with_name(f".{file.name}.tmp")
    key = records.names["key"]
    new = _new_lines(records, schema, pieces)
    old = (line for line in _old_lines(file, schema, key) if line[0] not in pieces) if file.exists() else ()
    lines = (line for number, _, line in heapq.merge(old, new, key=lambda line: line[:2]) if not is_gone(number))
    empty = True
    try:
        with parquet.ParquetWriter(unfinished, schema) as writer:
            for group in _groups(lines, list(records.pictures.values())):
                writer.write_table(group, row_group_size=_GROUP_ROWS)
                empty = False
        unfinished.replace(file)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    if empty:
        file.unlink()


def read_parquet_records(file: Path) -> Iterator[dict[str, Any]]:
    """The records in a Parquet file, without their pictures. Raises OSError."""
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        pictures = json.loads(opened.schema_arrow.metadata[b"relight"])["pictures"]
        columns = [name for name in opened.schema_arrow.names if name not in pictures]
        for batch in opened.iter_batches(columns=columns):
            yield from batch.to_pylist()


def schema_of(records: Records) -> Any:
    """The Arrow schema: the pictures, then the fields of a record; its metadata tells `datasets` which are pictures."""
    import pyarrow

    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    images = {name: {"_type": "Image"} for picture, name in records.pictures.items() if records.is_image(picture)}
    fields = [
        *((name, image if name in images else pyarrow.binary()) for name in records.pictures.values()),
        *((name, _arrow(kind)) for name, kind in records.types.items()),
    ]
    metadata = {"huggingface": {"info": {"features": images}}, "relight": {"pictures": list(records.pictures.values())}}
    return pyarrow.schema(fields, {name: json.dumps(one) for name, one in metadata.items()})


def _arrow(kind: Type) -> Any:
    import pyarrow

    if isinstance(kind, dict):
        return pyarrow.struct([(name, _arrow(one)) for name, one in kind.items()])
    if isinstance(kind, list):
        return pyarrow.list_(_arrow(kind[0]))
    words = {"string": pyarrow.string, "float64": pyarrow.float64, "int64": pyarrow.int64, "bool": pyarrow.bool_}
    return words[kind]()


def _new_lines(records: Records, schema: Any, pieces: Mapping[int, Path]) -> Iterator[_Line]:
    import pyarrow

    for number in sorted(pieces):
        for k, (record, files) in enumerate(read_samples(pieces[number])):
            line = dict(record)
            for ending, content in files.items():
                picture = ending.partition(".")[0]
                path = f"{record[records.names['key']]}.{ending}"
                is_image = records.is_image(picture)
                line[records.pictures[picture]] = {"bytes": content, "path": path} if is_image else content
            yield number, k, pyarrow.Table.from_pylist([line], schema)


def _old_lines(file: Path, schema: Any, key: str) -> Iterator[_Line]:
    """The lines of a file, one at a time."""
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        number, k = -1, 0
        for batch in opened.iter_batches(1):
            line = pyarrow.Table.from_batches([batch]).cast(schema)
            before, number = number, number_of(line[key][0].as_py())
            k = k + 1 if number == before else 0
            yield number, k, line


def _groups(lines: Iterator[Any], pictures: Sequence[str]) -> Iterator[Any]:
    """The lines in tables that are small enough to be a row group."""
    import pyarrow

    group: list[Any] = []
    size = 0
    for line in chain(lines, (None,)):
        more = 0 if line is None else sum(_size(line[name][0]) for name in pictures)
        if group and (line is None or len(group) == _GROUP_ROWS or size + more > _GROUP_BYTES):
            yield pyarrow.concat_tables(group).combine_chunks()
            group, size = [], 0
        group.append(line)
        size += more


def _size(picture: Any) -> int:
    """The bytes of a file, without a copy."""
    content = picture["bytes"] if hasattr(picture, "keys") else picture
    return int(content.as_buffer().size)
