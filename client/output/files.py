"""The writers: they write a row's files to disk or into a tar, each file or sample atomically.

Nothing written depends on the time, the machine or the output folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from client.input.row import Row
from client.output.pieces import Pack, Pieces
from client.output.plan import Plan, key_of
from client.output.records import Records
from client.output.tars import RECORD

SCHEMA = "relight-metadata/2"
Content = bytes | memoryview


def check_writable(path: Path) -> None:
    """Raise OSError where a file could not be written at `path`; writes nothing."""
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    fault = 0
    if nearest.is_dir() == (nearest == path):
        fault = errno.EISDIR if nearest == path else errno.ENOTDIR
    elif not os.access(nearest, os.W_OK | (os.X_OK if nearest.is_dir() else 0)):
        fault = errno.EROFS if os.statvfs(nearest).f_flag & os.ST_RDONLY else errno.EACCES
    if fault:
        raise OSError(fault, os.strerror(fault), str(nearest))


class Writer(Protocol):
    """Writes rows, in any order and from any thread."""

    def write(self, row: Row, files: Mapping[str, Content]) -> None:
        """Write a row's files by name, in their order. Raises OSError."""

    def finished(self, row: Row) -> None:
        """Note that the row's result is in the journal. Raises OSError."""


class Files:
    """Writes separate files, into the run's folder or into folders of ROWS_PER_FOLDER rows below it."""

    def __init__(self, folder: Path, plan: Plan, unfinished: Path | None = None) -> None:
        self._folder, self._unfinished = folder, unfinished
        self._plan = plan
        self._made = {""}

    def write(self, row: Row, files: Mapping[str, Content]) -> None:
        """See Writer."""
        place = self._plan.place(row)
        if place not in self._made:
            (self._folder / place).mkdir(parents=True, exist_ok=True)
            self._made.add(place)
        folder = self._folder / place
        for name, content in files.items():
            write_whole(folder / name, content, self._unfinished)

    def finished(self, row: Row) -> None:
        """Nothing is left to do."""


class Null:
    """Writes nothing, to measure everything else."""

    def write(self, row: Row, files: Mapping[str, Content]) -> None:
        """Discard the files."""

    def finished(self, row: Row) -> None:
        """Nothing is left to do."""


def writer_of(folder: Path, records: Records, pack: Pack | None = None, unfinished: Path | None = None) -> Writer:
    """The writer of the dataset that the records' plan names; `pack` is as of Pieces.

    Files are in the folder `unfinished` until they are whole; None for the place where they stay then.
    """
    if records.plan.is_packed:
        return Pieces(folder, records, pack, unfinished)
    return Null() if records.plan.dataset == "null" else Files(folder, records.plan, unfinished)


def row_files(
    row: Row, records: Records, pictures: Mapping[str, Sequence[Content]], metadata: Mapping[str, Any]
) -> dict[str, Content]:
    """A row's files by name, its metadata last; of a packed dataset one sample after the other, each with its record.

    `pictures` maps each name of the plan to its files (one per light, or one).
    """
    plan = records.plan
    if plan.is_packed:
        return _sample_files(row, records, pictures, metadata)
    names = plan.file_names(row)
    files = {name: content for kind in names for name, content in zip(names[kind], pictures[kind], strict=True)}
    files[plan.metadata_name(row)] = encode_metadata(
        {**metadata, "files": names, "values": plan.values(), "schema": SCHEMA}
    )
    return files


def _sample_files(
    row: Row, records: Records, pictures: Mapping[str, Sequence[Content]], metadata: Mapping[str, Any]
) -> dict[str, Content]:
    files: dict[str, Content] = {}
    samples = zip(records.plan.sample_names(row), records.of_row(row, metadata), strict=True)
    for k, (names, record) in enumerate(samples):
        files |= {name: pictures[kind][k % len(pictures[kind])] for kind, name in names.items()}
        files[f"{key_of(row, k)}.{RECORD}"] = encode_record(record)
    return files


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Encode a record as a line of JSON, its fields in their order."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def encode_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Encode JSON with a line for each sorted key: as easy to read as indented JSON and ten times as fast to write."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(metadata[key], sort_keys=True)}" for key in sorted(metadata))
    return f"{{\n{lines}\n}}\n".encode()


def write_whole(path: Path, content: Content, folder: Path | None = None) -> None:
    """Write `content` to `path` atomically, by way of `folder` on the same disk. Raises OSError, naming `path`."""
    unfinished = (folder or path.parent) / f".{path.name}.tmp"
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
