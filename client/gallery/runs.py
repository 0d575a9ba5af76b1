"""Reads what runs have written: the photos with their metadata, a picture for each light, and the rows that failed."""

from __future__ import annotations

import csv
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from client.errors import TableError
from client.input.own_columns import FAILURE_COLUMNS, RESULT_COLUMNS, own_width
from client.output.files import SCHEMA
from client.output.journal import JOURNALS
from contract.names import PICTURES

_ENDING = "_metadata.json"


@dataclass(frozen=True)
class Photo:
    """One row that is done."""

    run: str  # the name of its run's folder
    place: str  # the folder of its files, from the gallery's, with slashes; empty for that itself
    split: str  # the part of the dataset that it is in; empty where there are none
    metadata: Mapping[str, Any]  # as NNNNN_metadata.json has it
    values: Mapping[str, str]  # the columns of the run's input

    @property
    def files(self) -> Mapping[str, list[str]]:
        """The names of its files by kind."""
        files: Mapping[str, list[str]] = self.metadata["files"]
        return files

    @property
    def leading(self) -> list[str]:
        """The names that the output CSV has: those of its first kind of file."""
        return self.files[leading_kind(self.files)]


@dataclass(frozen=True)
class Picture:
    """One light of one photo."""

    photo: int  # its place among the photos
    number: int  # which light of its photo, from 0
    file: str  # from the gallery's folder, with slashes
    light: Mapping[str, Any]  # an entry of `lights`


@dataclass(frozen=True)
class Failure:
    """One row that failed."""

    run: str
    row: str  # its number, from 1; empty where it is not known
    image_path: str
    cause: str
    values: Mapping[str, str]  # the columns of the run's input


@dataclass(frozen=True)
class Runs:
    """All that a gallery shows."""

    folders: list[Path]  # of the runs
    photos: list[Photo]
    failures: list[Failure]

    @cached_property
    def pictures(self) -> list[Picture]:
        """The pictures of all photos, in their order."""
        return [picture for number, photo in enumerate(self.photos) for picture in _pictures(number, photo)]


def read_runs(folder: Path) -> Runs:
    """Read the run in `folder`, or all runs whose folders are in it. Raises TableError where there is none, OSError."""
    if not folder.is_dir():
        raise TableError(f"there is no folder {folder}; give one that run_csv.py has written, such as out/val_images")
    found = [folder] if (folder / JOURNALS).is_dir() else sorted(path.parent for path in folder.glob(f"*/{JOURNALS}"))
    if not found:
        raise TableError(
            f"{folder} holds no run of run_csv.py; give the folder of one, such as out/val_images, or that of --output"
        )
    runs = Runs(found, [], [])
    for run in found:
        _read_run(run, folder, runs)
    return runs


def leading_kind(kinds: Container[str]) -> str:
    """The kind of files that the output CSV names. Raises ValueError where there is none."""
    for kind in PICTURES:
        if kind in kinds:
            return kind
    raise ValueError("it names no picture; relight the photo again")


def _read_run(run: Path, root: Path, runs: Runs) -> None:
    name = run.resolve().name
    rows = _rows(run)
    for path in sorted(run.rglob(f"*{_ENDING}")):
        place = "" if path.parent == root else path.parent.relative_to(root).as_posix()
        try:
            metadata = _metadata(path)
        except ValueError as error:
            runs.failures.append(Failure(name, "", path.name, str(error), {}))
            continue
        first = path.parent.relative_to(run) / metadata["files"][leading_kind(metadata["files"])][0]
        if rows is None or first.as_posix() in rows:
            values = (rows or {}).get(first.as_posix(), {})
            split = values.get("split") or _split(first.parts[:-1])
            runs.photos.append(Photo(name, place, split, metadata, values))
    for table in sorted(run.glob("failed*.csv")):
        for values, (_, row, cause) in _read_table(table, len(FAILURE_COLUMNS)):
            runs.failures.append(Failure(name, row, values.get("image_path", ""), cause, values))


def _split(folders: Sequence[str]) -> str:
    """The split that a run has a folder for; folders of many rows have numbers for names."""
    return folders[0] if folders and not folders[0].isdecimal() else ""


def _rows(run: Path) -> dict[str, dict[str, str]] | None:
    """The rows of a run's output CSVs by their files; None where it has not written any yet."""
    beside, name = run.resolve().parent, run.resolve().name
    tables = [table for table in (beside / f"{name}.csv", *sorted(beside.glob(f"{name}.*of*.csv"))) if table.is_file()]
    lines = [line for table in tables for line in _read_table(table, len(RESULT_COLUMNS))]
    # The folder may have been renamed since: a file's path begins with its name of then.
    return {file.partition("/")[2]: values for values, (file, _) in lines if file} if tables else None


def _read_table(table: Path, added: int) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The lines of a table of ours: the input's own columns by name, and the `added` ones."""
    with table.open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        lines = csv.reader(stream)
        columns = next(lines, [])
        width = own_width(columns)
        if len(columns) - width != added:
            raise TableError(f"{table} is no table of run_csv.py; move it, or write it again with --rebuild-csv")
        names = [column.strip() for column in columns[:width]]
        for line in lines:
            yield dict(zip(names, line[:width], strict=False)), (line[width:] + [""] * added)[:added]


def _metadata(path: Path) -> dict[str, Any]:
    """Read a photo's metadata. Raises ValueError, a sentence, where this version cannot show it."""
    try:
        metadata: dict[str, Any] = json.loads(path.read_bytes())
        if metadata["schema"] != SCHEMA:
            raise ValueError(f"it was written by another version ({metadata['schema']}); relight the photo again")
        leading_kind(metadata["files"])
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no metadata of a photo ({error}); relight the photo again") from error
    return metadata


def _pictures(number: int, photo: Photo) -> Iterator[Picture]:
    """A picture for each light; where a run keeps files per photo only, one with the first light."""
    for place, (name, light) in enumerate(zip(photo.leading, photo.metadata["lights"], strict=False)):
        yield Picture(number, place, f"{photo.place}/{name}".lstrip("/"), light)
