"""Reads datasets packed into tars or Parquet files, and unpacks of each picture what a page shows: result and photo.

A browser cannot look into such files. Their pictures are made into smaller ones beside the page, only those that are
missing or older than the file.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

from client.errors import TableError
from client.gallery.runs import Photo, leading_kind
from client.gallery.thumbnails import FOLDER, encode_small
from client.input.own_columns import added
from client.output.files import write_whole

SIDE = 768  # pixels, the longer side of an unpacked picture at most
_QUALITY = 84
_IN_MEMORY = 32  # pictures that are read and not made smaller yet
_BEFORE = ("input", "foreground", "albedo")  # what a result is compared with, the first that there is
# The fields of a record; all others are columns of the table. One that the table has too begins with relight_.
_FIELDS = (
    *("key", "split", "instruction", "instructions", "prompt", "score", "box", "count", "residual"),
    *("width", "height", "original", "crop", "seed", "light"),
)
_NUMBERED = re.compile(r"\d{5,}\.(tar|parquet)")


@dataclass(frozen=True)
class _Sample:
    """One picture of a packed file: its record, and how to read each of its files by their kinds."""

    key: str
    record: Mapping[str, Any]
    files: Mapping[str, Callable[[], bytes]]


def packed_files(run: Path) -> list[Path]:
    """The tars and Parquet files of a run, those of its splits too, in the order of their names."""
    found = (path for pattern in ("*.*", "*/*.*") for path in run.glob(pattern) if path.is_file())
    return sorted(path for path in found if _NUMBERED.fullmatch(path.name))


def unpack(run: Path, root: Path) -> Iterator[Photo]:
    """The pictures of a run's packed files, each a photo with one light; `root` is the gallery's folder.

    Raises TableError where a file is damaged, OSError.
    """
    for path in packed_files(run):
        place = f"{FOLDER}/views/{path.relative_to(root).as_posix()}"
        split = "" if path.parent == run else path.parent.name
        (root / place).mkdir(parents=True, exist_ok=True)
        changed = path.stat().st_mtime_ns
        read = _samples_of_tar if path.suffix == ".tar" else _samples_of_parquet
        try:
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                waiting: deque[Future[None]] = deque()
                for sample in read(path):
                    kinds = _shown(sample)
                    for kind in kinds:
                        view = root / place / _view(sample, kind)
                        if not view.exists() or view.stat().st_mtime_ns < changed:
                            waiting.append(threads.submit(_write_view, view, sample.files[kind]()))
                    while len(waiting) > _IN_MEMORY:
                        waiting.popleft().result()
                    yield _photo(sample, kinds, run.resolve().name, place, split)
                for future in waiting:
                    future.result()
        except (tarfile.TarError, KeyError, ValueError) as error:
            raise TableError(f"{path} is damaged, or no dataset of run_csv.py ({error}); move it away") from error


def _shown(sample: _Sample) -> list[str]:
    """The kinds of files that are unpacked, the result first."""
    first = leading_kind(sample.files)
    before = next((kind for kind in _BEFORE if kind in sample.files), first)
    return list(dict.fromkeys((first, before)))


def _view(sample: _Sample, kind: str) -> str:
    return f"{sample.key}.{kind}.webp"


def _write_view(path: Path, content: bytes) -> None:
    """Write a smaller picture; one that Pillow cannot read has none, and the page says so."""
    if small := encode_small(BytesIO(content), SIDE, _QUALITY):
        write_whole(path, small)


def _photo(sample: _Sample, kinds: list[str], run: str, place: str, split: str) -> Photo:
    record = sample.record
    columns = [name for name in record if name not in _FIELDS and not name.startswith("relight_")]
    clashing = [name.removeprefix("relight_") for name in record if name.startswith("relight_")]
    own = {name: str(record[name]) for name in (*columns, *(name for name in clashing if name in record))}
    named = dict(zip(_FIELDS, added(list(own), _FIELDS), strict=True))
    fields = {field: record[name] for field, name in named.items() if name in record}
    light = dict(fields.pop("light"))
    light["sources"] = [source for source in light["sources"] if source["kind"]]
    if not light["environment"] or not light["environment"]["name"]:
        light["environment"] = None
    else:
        light.pop("ambient", None)
    light |= {name: fields.pop(name) for name in ("instruction", "instructions") if name in fields}
    files = {kind: [_view(sample, kind)] for kind in kinds}
    metadata = {**fields, "image_path": own.get("image_path", sample.key), "files": files, "lights": [light]}
    return Photo(run, place, split or str(fields.get("split", "")), metadata, own)


def _samples_of_tar(path: Path) -> Iterator[_Sample]:
    """A sample's members have its key before the first dot of their names, and follow each other."""

    def read(start: int, size: int) -> bytes:
        stream.seek(start)
        return stream.read(size)

    with tarfile.open(path) as archive, path.open("rb") as stream:
        files: dict[str, Callable[[], bytes]] = {}
        for member in archive:
            key, _, ending = member.name.partition(".")
            if ending == "json":
                yield _Sample(key, json.loads(read(member.offset_data, member.size)), files)
                files = {}
            else:
                files[ending.partition(".")[0]] = partial(read, member.offset_data, member.size)


def _samples_of_parquet(path: Path) -> Iterator[_Sample]:
    """Pictures are read, a row group at a time, only where one is asked for."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as opened:
        schema = opened.schema_arrow
        pictures = json.loads(schema.metadata[b"relight"])["pictures"]
        others = [name for name in schema.names if name not in pictures]
        for group in range(opened.num_row_groups):
            columns = _Columns(opened, group)
            for row, record in enumerate(opened.read_row_group(group, others).to_pylist()):
                files = {name.replace("relight_", ""): partial(columns.read, name, row) for name in pictures}
                yield _Sample(record.get("relight_key") or record["key"], record, files)


class _Columns:
    """The pictures of a row group, by column, each column read when it is first asked for."""

    def __init__(self, opened: Any, group: int) -> None:
        self._opened, self._group = opened, group
        self._columns: dict[str, Any] = {}

    def read(self, name: str, row: int) -> bytes:
        """The bytes of one picture."""
        if name not in self._columns:
            self._columns[name] = self._opened.read_row_group(self._group, [name])[name]
        cell = self._columns[name][row].as_py()
        content: bytes = cell["bytes"] if isinstance(cell, dict) else cell
        return content
