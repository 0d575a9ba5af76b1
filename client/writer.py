"""The writer: the files of a row, its metadata, and the output CSV in the order of the input.

A file appears under its name only when it is whole, and a row's metadata comes last. Nothing
written depends on the time, the machine or the output folder.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

PER_LIGHT = ("output", "degraded")  # one picture per light
PER_PHOTO = ("albedo", "mask", "foreground", "background")  # one picture per photo
PICTURES = PER_LIGHT + PER_PHOTO
SCHEMA = "relight-metadata/1"
RESULT_COLUMNS = ("output_image_path", "error")
_EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}


@dataclass(frozen=True)
class Plan:
    """Which pictures a run keeps, in which format, and how many lights a photo gets."""

    pictures: tuple[str, ...] = ("output", "albedo", "mask")  # in the order of PICTURES
    format: str = "png"  # png, jpeg, webp
    quality: int | None = None  # 1-100, of jpeg and webp
    variants: int = 1

    def request(self) -> str:
        """The FILES input of the ensemble, such as `output,albedo,mask;jpeg:92`."""
        suffix = f":{self.quality}" if self.quality is not None else ""
        return f"{','.join(self.pictures)};{self.format}{suffix}"

    def count(self, picture: str) -> int:
        """How many files of this kind a row gets."""
        return self.variants if picture in PER_LIGHT else 1

    def file_names(self, index: int, picture: str) -> list[str]:
        """The names of a row's files of one kind: 00007_mask.png, or 00007_output_0.png and on."""
        extension = "png" if picture == "mask" else _EXTENSIONS[self.format]
        stem = f"{index:05d}_{picture}"
        if self.count(picture) == 1:
            return [f"{stem}.{extension}"]
        return [f"{stem}_{k}.{extension}" for k in range(self.variants)]


def parse_pictures(text: str) -> tuple[str, ...]:
    """`--files output,albedo,mask` as names. Raises ValueError with a sentence."""
    asked = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(asked - set(PICTURES))
    if unknown or not asked:
        raise ValueError(
            f"there are no files called {', '.join(unknown) or 'nothing'}; choose from {', '.join(PICTURES)}"
        )
    return tuple(name for name in PICTURES if name in asked)


def parse_format(text: str) -> tuple[str, int | None]:
    """`--format jpeg` or `webp:80` as name and quality. Raises ValueError with a sentence."""
    name, colon, number = text.partition(":")
    if name not in _EXTENSIONS or (colon and name == "png"):
        raise ValueError(f"there is no format {text!r}; choose png, jpeg[:quality], webp[:quality]")
    if not colon:
        return name, None
    if not number.isdecimal() or not 1 <= int(number) <= 100:
        raise ValueError(f"the quality in {text!r} must be a whole number from 1 to 100")
    return name, int(number)


def write_row(
    folder: Path,
    index: int,
    plan: Plan,
    pictures: Mapping[str, Sequence[bytes]],
    metadata: Mapping[str, Any],
) -> list[str]:
    """Write one row's pictures, then its metadata, into `folder`; returns the leading files' names.

    `pictures` maps each name of the plan to its files' bytes, one per light or one. The leading
    files are the relit pictures, or the first kind asked for where those are not.
    Raises OSError where the folder cannot be written.
    """
    names = {picture: plan.file_names(index, picture) for picture in plan.pictures}
    for picture in plan.pictures:
        for name, content in zip(names[picture], pictures[picture], strict=True):
            write_whole(folder / name, content)
    text = json.dumps({**metadata, "files": names, "schema": SCHEMA}, indent=2, sort_keys=True)
    write_whole(folder / f"{index:05d}_metadata.json", f"{text}\n".encode())
    return names[plan.pictures[0]]


def _open(path: Path) -> TextIO:
    return path.open("w", newline="", encoding="utf-8", errors="surrogateescape")


def write_whole(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader sees all of it or nothing."""
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_bytes(content)
    unfinished.replace(path)


class OutputTable:
    """The output CSV: takes rows as they finish, writes them in the order of the input.

    A row waits in memory until every row before it has come, so the caller must bound how far
    ahead rows may finish. What is written is flushed at once: a crash keeps it.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._kept = [i for i, name in enumerate(columns) if name.strip() not in RESULT_COLUMNS]
        self._waiting: dict[int, list[list[str]]] = {}
        self._next = 0
        self._stream = _open(path)
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow([columns[i] for i in self._kept] + list(RESULT_COLUMNS))
        self._stream.flush()

    def add(self, index: int, values: Sequence[str], files: Iterable[str], error: str) -> int:
        """Row `index` is finished: one line per file, or one with the error.

        `files` are relative to the CSV's folder. Returns how many rows this let through.
        """
        kept = [values[i] for i in self._kept]
        self._waiting[index] = [[*kept, file, ""] for file in files] or [[*kept, "", error]]
        first = self._next
        while self._next in self._waiting:
            self._writer.writerows(self._waiting.pop(self._next))
            self._next += 1
        if self._next > first:
            self._stream.flush()
        return self._next - first

    def close(self) -> None:
        """Write the finished rows that still wait for an unfinished one, and close the file."""
        for index in sorted(self._waiting):
            self._writer.writerows(self._waiting[index])
        self._waiting.clear()
        self._stream.close()
