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
from client.output.plan import Plan
from client.output.tars import Tars

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

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._made = {""}

    def write(self, row: Row, files: Mapping[str, Content]) -> None:
        """See Writer."""
        place = self._plan.place(row.number)
        if place not in self._made:
            (self._folder / place).mkdir(parents=True, exist_ok=True)
            self._made.add(place)
        folder = self._folder / place
        for name, content in files.items():
            write_whole(folder / name, content)

    def finished(self, row: Row) -> None:
        """Nothing is left to do."""


class Null:
    """Writes nothing, to measure everything else."""

    def write(self, row: Row, files: Mapping[str, Content]) -> None:
        """Discard the files."""

    def finished(self, row: Row) -> None:
        """Nothing is left to do."""


def writer_of(folder: Path, plan: Plan) -> Writer:
    """The writer that the plan names."""
    if plan.writer == "webdataset":
        return Tars(folder, plan.rows_per_tar)
    return Null() if plan.writer == "null" else Files(folder, plan)


def row_files(
    row: Row, plan: Plan, pictures: Mapping[str, Sequence[Content]], metadata: Mapping[str, Any]
) -> dict[str, Content]:
    """A row's files by name, its metadata last.

    `pictures` maps each name of the plan to its files (one per light, or one).
    """
    names = plan.file_names(row)
    files = {name: content for kind in names for name, content in zip(names[kind], pictures[kind], strict=True)}
    files[plan.metadata_name(row)] = encode_metadata(
        {**metadata, "files": names, "values": plan.values(), "schema": SCHEMA}
    )
    return files


def encode_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Encode JSON with a line for each sorted key: as easy to read as indented JSON and ten times as fast to write."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(metadata[key], sort_keys=True)}" for key in sorted(metadata))
    return f"{{\n{lines}\n}}\n".encode()


def write_whole(path: Path, content: Content) -> None:
    """Write `content` to `path` atomically. Raises OSError, naming `path`."""
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
