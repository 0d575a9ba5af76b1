"""Parquet files of a dataset: a line for each picture, its files in columns that `datasets` shows as pictures."""

from __future__ import annotations

import heapq
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from client.output.records import Records, Type
from client.output.tars import number_of, read_samples

_GROUP_ROWS, _GROUP_BYTES = 100, 64 << 20  # of a row group at most, which a reader has in memory as a whole


def pack_parquet(file: Path, records: Records, pieces: Mapping[int, Path], is_gone: Callable[[int], bool]) -> None:
    """Merge pieces, by their rows' numbers, into a Parquet file, which may not exist yet, atomically. Raises OSError.

    Rows that are gone are left out; without any row there is no file.
    """
    from pyarrow import parquet

    schema, unfinished = schema_of(records), file.with_name(f".{file.name}.tmp")
    new = _new_lines(records, pieces)
    old = _old_lines(file, schema, records) if file.exists() else iter(())
    kept = (line for line in old if line.place[0] not in pieces)
    merged = heapq.merge(kept, new, key=lambda line: line.place)
    lines = (line for line in merged if not is_gone(line.place[0]))
    empty = True
    try:
        with parquet.ParquetWriter(unfinished, schema) as writer:
            for group in _groups(lines, schema):
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


@dataclass(frozen=True)
class _Line:
    """A line to write: a record with its files, or a line of an earlier file."""

    place: tuple[int, int]  # the row's number, and which of its lines it is
    size: int  # bytes of its pictures
    record: bytes = b""  # JSON
    files: Mapping[str, tuple[bytes, str]] = field(default_factory=dict)  # content and path by column
    table: Any = None


def _new_lines(records: Records, pieces: Mapping[int, Path]) -> Iterator[_Line]:
    for number in sorted(pieces):
        for k, (record, found) in enumerate(read_samples(pieces[number])):
            key = json.loads(record)[records.names["key"]]
            files = {
                records.pictures[ending.partition(".")[0]]: (content, f"{key}.{ending}")
                for ending, content in found.items()
            }
            yield _Line((number, k), sum(len(content) for content, _ in files.values()), record, files)


def _old_lines(file: Path, schema: Any, records: Records) -> Iterator[_Line]:
    """The lines of a file, one at a time."""
    import pyarrow
    from pyarrow import parquet

    with parquet.ParquetFile(file) as opened:
        number, k = -1, 0
        for batch in opened.iter_batches(1):
            table = pyarrow.Table.from_batches([batch]).cast(schema)
            before, number = number, number_of(table[records.names["key"]][0].as_py())
            k = k + 1 if number == before else 0
            cells = {picture: table[name][0] for picture, name in records.pictures.items()}
            contents = (cell["bytes"] if records.is_image(picture) else cell for picture, cell in cells.items())
            yield _Line((number, k), sum(content.as_buffer().size for content in contents), table=table)


def _groups(lines: Iterator[_Line], schema: Any) -> Iterator[Any]:
    """The lines in tables that are small enough to be a row group."""
    group: list[_Line] = []
    for line in lines:
        if group and (len(group) == _GROUP_ROWS or line.size + sum(one.size for one in group) > _GROUP_BYTES):
            yield _table(group, schema)
            group = []
        group.append(line)
    if group:
        yield _table(group, schema)


def _table(group: Sequence[_Line], schema: Any) -> Any:
    import pyarrow

    tables: list[Any] = []
    for is_new, some in groupby(group, lambda line: line.table is None):
        lines = list(some)
        tables += [_table_of_new(lines, schema)] if is_new else [line.table for line in lines]
    return tables[0] if len(tables) == 1 else pyarrow.concat_tables(tables).combine_chunks()


def _table_of_new(lines: Sequence[_Line], schema: Any) -> Any:
    """Records are parsed by Arrow, which other Python threads do not wait for."""
    import pyarrow
    from pyarrow import json as arrow_json

    content = b"".join(line.record for line in lines)
    columns = {}
    for name in lines[0].files:
        contents = pyarrow.array([line.files[name][0] for line in lines], pyarrow.binary())
        paths = pyarrow.array([line.files[name][1] for line in lines], pyarrow.string())
        is_image = pyarrow.types.is_struct(schema.field(name).type)
        columns[name] = pyarrow.StructArray.from_arrays([contents, paths], ["bytes", "path"]) if is_image else contents
    fields = pyarrow.schema([one for one in schema if one.name not in columns])
    parsed = arrow_json.read_json(
        io.BytesIO(content),
        arrow_json.ReadOptions(block_size=len(content) + 1),
        arrow_json.ParseOptions(explicit_schema=fields, unexpected_field_behavior="error"),
    )
    return pyarrow.table([columns[name] if name in columns else parsed[name] for name in schema.names], schema)
