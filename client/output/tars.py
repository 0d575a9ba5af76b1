"""Tars of a webdataset, and pieces of one row, which are tars without an end.

A tar is made of the bytes of its rows' pieces: nothing in it depends on the time or the order of writing.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from client.output.records import Records

RECORD = "json"  # the ending of a sample's record
_END = bytes(2 * tarfile.BLOCKSIZE)


def write_piece(path: Path, files: Mapping[str, bytes | memoryview]) -> None:
    """Write files, in their order, as members without an end. Raises OSError."""
    with path.open("wb") as stream:
        for name, content in files.items():
            stream.write(_header(name, len(content)))
            stream.write(content)
            stream.write(bytes(-len(content) % tarfile.BLOCKSIZE))


def read_samples(path: Path) -> Iterator[tuple[bytes, dict[str, bytes]]]:
    """The samples of a piece: each one's record in JSON, and its other files by what follows the key in their names."""
    files: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            assert stream is not None, "a member is a file"
            ending = member.name.partition(".")[2]
            if ending == RECORD:
                yield stream.read(), files
                files = {}
            else:
                files[ending] = stream.read()


def read_tar_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records in a tar; other files are skipped over. Raises OSError."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name.partition(".")[2] == RECORD:
                stream = archive.extractfile(member)
                assert stream is not None, "a member is a file"
                yield json.load(stream)


def pack_tar(tar: Path, records: Records, pieces: Mapping[int, Path], is_gone: Callable[[int], bool]) -> None:
    """Merge pieces, by their rows' numbers, into a tar, which may not exist yet, atomically. Raises OSError.

    Rows that are gone are left out; without any row there is no tar.
    """
    parts = {part.number: part for part in _parts_of_tar(tar)}
    parts |= {number: _Part(number, path, 0, path.stat().st_size) for number, path in pieces.items()}
    unfinished = tar.with_name(f".{tar.name}.tmp")
    with unfinished.open("wb") as out:
        for row in sorted(parts):
            if not is_gone(row):
                _append(out, parts[row])
        empty = not out.tell()
        out.write(_END)
    unfinished.replace(tar)
    if empty:
        tar.unlink()


@dataclass(frozen=True)
class _Part:
    """The bytes of one row's members, in a piece or in a tar."""

    number: int
    path: Path
    start: int
    size: int


def _parts_of_tar(tar: Path) -> list[_Part]:
    """The rows in a tar; none if there is no such file."""
    if not tar.exists():
        return []
    with tarfile.open(tar) as archive:
        members = [(number_of(member.name), member.offset) for member in archive]
        end = archive.offset
    starts: dict[int, int] = {}
    for number, offset in members:
        starts.setdefault(number, offset)
    edges = [*starts.values(), end]
    return [_Part(number, tar, start, edges[k + 1] - start) for k, (number, start) in enumerate(starts.items())]


def _append(out: BinaryIO, part: _Part) -> None:
    with part.path.open("rb") as stream:
        stream.seek(part.start)
        left = part.size
        while left:
            content = stream.read(min(left, 1 << 20))
            if not content:
                raise OSError(f"{part.path} became shorter while it was read")
            out.write(content)
            left -= len(content)


def number_of(name: str) -> int:
    """The row's number, with which the names of its piece, its members and its records' keys begin."""
    digits = re.match(r"\d+", name)
    if digits is None:
        raise OSError(f"the dataset holds {name}, which is not of this run; choose another folder with --output")
    return int(digits[0])


def _header(name: str, size: int) -> bytes:
    """A member's header, without time or owner."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)
