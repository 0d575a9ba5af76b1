"""Webdataset tars of a fixed number of rows, in the input's order, with the same bytes even if the run was resumed.

A row is first written atomically, as a piece in `pieces/<tar>/`. When all rows of a tar are finished, its pieces are
joined; later rows, such as retried ones, are inserted at their place.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from client.input.row import Row

PIECES = "pieces"
_END = bytes(2 * tarfile.BLOCKSIZE)


class Tars:
    """Writes rows as pieces, and joins those of a tar when its last row is finished."""

    def __init__(self, folder: Path, rows_per_tar: int) -> None:
        self._folder = folder
        self._rows_per_tar = rows_per_tar
        self._finished: Counter[int] = Counter()  # rows per tar that is not joined yet
        self._lock = threading.Lock()

    def write(self, row: Row, files: Mapping[str, bytes | memoryview]) -> None:
        """One piece with the row's files as members. Raises OSError."""
        folder = self._folder / PIECES / tar_name(row.index // self._rows_per_tar)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{row.name}.tmp"
        with unfinished.open("wb") as stream:
            for name, content in files.items():
                stream.write(_header(name, len(content)))
                stream.write(content)
                stream.write(bytes(-len(content) % tarfile.BLOCKSIZE))
        unfinished.replace(folder / row.name)

    def finished(self, row: Row) -> None:
        """Join the row's tar if this was its last row. Raises OSError."""
        number = row.index // self._rows_per_tar
        with self._lock:
            self._finished[number] += 1
            last = self._finished[number] == self._rows_per_tar
            if last:
                del self._finished[number]
        if last:
            join_pieces(self._folder, number)


def tar_name(number: int) -> str:
    """The name of the tar with this number, from 0."""
    return f"{number:05d}.tar"


def waiting_tars(folder: Path) -> list[int]:
    """The numbers of the tars with pieces that are not joined yet."""
    return sorted(int(path.stem) for path in (folder / PIECES).glob("*.tar"))


def join_pieces(folder: Path, number: int) -> None:
    """Merge a tar's pieces into it, in the order of their rows, and remove them. Raises OSError."""
    pieces = folder / PIECES / tar_name(number)
    tar = folder / tar_name(number)
    parts = {part.index: part for part in _parts_of_tar(tar)}
    parts |= {_index(path.name): _Part(_index(path.name), path, 0, path.stat().st_size) for path in _whole(pieces)}
    unfinished = tar.with_name(f".{tar.name}.tmp")
    with unfinished.open("wb") as out:
        for index in sorted(parts):
            _append(out, parts[index])
        out.write(_END)
    unfinished.replace(tar)
    shutil.rmtree(pieces)


@dataclass(frozen=True)
class _Part:
    """The bytes of one row's members, in a piece or in a tar."""

    index: int
    path: Path
    start: int
    size: int


def _whole(pieces: Path) -> Iterable[Path]:
    """The finished pieces; a leading dot marks one that a killed run left."""
    return (path for path in pieces.iterdir() if not path.name.startswith("."))


def _parts_of_tar(tar: Path) -> list[_Part]:
    """The rows in a tar; none if there is no such file."""
    if not tar.exists():
        return []
    with tarfile.open(tar) as archive:
        members = [(_index(member.name), member.offset) for member in archive]
        end = archive.offset
    starts: dict[int, int] = {}
    for index, offset in members:
        starts.setdefault(index, offset)
    edges = [*starts.values(), end]
    return [_Part(index, tar, start, edges[k + 1] - start) for k, (index, start) in enumerate(starts.items())]


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


def _index(name: str) -> int:
    """The row's index, with which the names of its piece and of its members begin."""
    digits = re.match(r"\d+", name)
    if digits is None:
        raise OSError(f"the webdataset holds {name}, which is not of this run; choose another folder with --output")
    return int(digits[0])


def _header(name: str, size: int) -> bytes:
    """A member's header, without time or owner."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)
