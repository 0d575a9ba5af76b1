"""Webdataset tars of a fixed number of rows, by their numbers, with the same bytes even if the run was resumed.

A row is first written atomically, as a piece in `pieces/<tar>/`. When all rows of a tar are finished, its pieces are
joined; later rows, such as retried ones, are inserted at their place. Several processes may write into one tar.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from client.input.row import Row
from client.output.journal import JOURNALS

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
        number = row.number // self._rows_per_tar
        folder = self._folder / PIECES / tar_name(number)
        unfinished = folder / f".{row.name}.tmp"
        with _locked(self._folder, number, fcntl.LOCK_SH):
            folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as stream:
                for name, content in files.items():
                    stream.write(_header(name, len(content)))
                    stream.write(content)
                    stream.write(bytes(-len(content) % tarfile.BLOCKSIZE))
            unfinished.replace(folder / row.name)

    def finished(self, row: Row) -> None:
        """Join the row's tar if this was its last row. Raises OSError."""
        number = row.number // self._rows_per_tar
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


def numbers_of_tars(folder: Path) -> list[int]:
    """The numbers of all tars, joined or not."""
    return sorted({int(path.stem) for path in folder.glob("[0-9]*.tar")} | set(waiting_tars(folder)))


def join_pieces(folder: Path, number: int, is_gone: Callable[[int], bool] = lambda number: False) -> None:
    """Merge a tar's pieces into it, in the order of their rows' numbers, and remove them. Raises OSError.

    Rows that are gone are left out; without any row there is no tar.
    """
    pieces = folder / PIECES / tar_name(number)
    tar = folder / tar_name(number)
    with _locked(folder, number, fcntl.LOCK_EX):
        parts = {part.number: part for part in _parts_of_tar(tar)}
        parts |= {
            _number(path.name): _Part(_number(path.name), path, 0, path.stat().st_size) for path in _whole(pieces)
        }
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
        shutil.rmtree(pieces, ignore_errors=True)


@dataclass(frozen=True)
class _Part:
    """The bytes of one row's members, in a piece or in a tar."""

    number: int
    path: Path
    start: int
    size: int


def _whole(pieces: Path) -> Iterable[Path]:
    """The finished pieces; a leading dot marks one that a killed run left."""
    return (path for path in pieces.iterdir() if not path.name.startswith(".")) if pieces.is_dir() else ()


def _parts_of_tar(tar: Path) -> list[_Part]:
    """The rows in a tar; none if there is no such file."""
    if not tar.exists():
        return []
    with tarfile.open(tar) as archive:
        members = [(_number(member.name), member.offset) for member in archive]
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


@contextmanager
def _locked(folder: Path, number: int, kind: int) -> Iterator[None]:
    """Hold the lock of a tar: many may write pieces of it, or one may join them."""
    lock = folder / JOURNALS / f"{tar_name(number)}.joining"
    lock.parent.mkdir(exist_ok=True)
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, kind)
        yield
    finally:
        os.close(file)


def _number(name: str) -> int:
    """The row's number, with which the names of its piece and of its members begin."""
    digits = re.match(r"\d+", name)
    if digits is None:
        raise OSError(f"the webdataset holds {name}, which is not of this run; choose another folder with --output")
    return int(digits[0])


def _header(name: str, size: int) -> bytes:
    """A member's header, without time or owner."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)
