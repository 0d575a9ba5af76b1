"""Packed datasets: files of a fixed number of rows, by their numbers, with the same bytes even if the run was resumed.

A row is first written atomically, as a piece in `pieces/<file>/`. When all rows of a file are finished, its pieces are
packed; later rows, such as retried ones, are inserted at their place. Several processes may write into one file. Each
split has files of its own.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from client.input.row import Row
from client.output.journal import JOURNALS
from client.output.locks import ALONE, SHARED, locked
from client.output.parquet_shards import pack_parquet, read_parquet_records
from client.output.plan import PACKED, Plan
from client.output.records import Records
from client.output.tars import number_of, pack_tar, read_tar_records, write_piece

PIECES = "pieces"
_SUFFIXES = tuple(PACKED.values())
Pack = Callable[[Records, int], None]


class Pieces:
    """Writes rows as pieces, and packs those of a file when its last row is finished."""

    def __init__(
        self, folder: Path, records: Records, pack: Pack | None = None, unfinished: Path | None = None
    ) -> None:
        """`pack` packs a number, if not as `pack_pieces` does; `unfinished` is as of `writer_of`."""
        self._folder, self._records, self._unfinished = folder, records, unfinished
        self._pack = pack or partial(pack_pieces, folder)
        self._finished: Counter[int] = Counter()  # rows per file that is not packed yet
        self._lock = threading.Lock()

    def write(self, row: Row, files: Mapping[str, bytes | memoryview]) -> None:
        """One piece with the row's files. Raises OSError."""
        plan = self._records.plan
        folder = self._folder / PIECES / plan.place(row)
        unfinished = (self._unfinished or folder) / f".{row.name}.tmp"
        with number_locked(self._folder, row.number // plan.rows_per_tar, SHARED):
            folder.mkdir(parents=True, exist_ok=True)
            write_piece(unfinished, files)
            unfinished.replace(folder / row.name)

    def finished(self, row: Row) -> None:
        """Pack the row's file if this was its last row. Raises OSError."""
        number = row.number // self._records.plan.rows_per_tar
        with self._lock:
            self._finished[number] += 1
            last = self._finished[number] == self._records.plan.rows_per_tar
            if last:
                del self._finished[number]
        if last:
            self._pack(self._records, number)


def waiting_numbers(folder: Path) -> list[int]:
    """The numbers of the files with pieces that are not packed yet."""
    return sorted({int(path.stem) for path in _numbered(folder / PIECES)})


def packed_files(folder: Path) -> list[Path]:
    """All packed files of a run, those of every split, by their paths."""
    return sorted(path for path in _numbered(folder) if path.is_file())


def packed_records(files: Iterable[Path], plan: Plan) -> Iterator[dict[str, Any]]:
    """The records in packed files, without their pictures. Raises OSError."""
    read = read_tar_records if plan.dataset == "webdataset" else read_parquet_records
    for path in files:
        yield from read(path)


def none_is_gone(row: int) -> bool:
    """What `pack_pieces` asks of a row where all rows are still in the table."""
    return False


def pack_pieces(
    folder: Path,
    records: Records,
    number: int,
    is_gone: Callable[[int], bool] = none_is_gone,
    around: AbstractContextManager[None] | None = None,
) -> None:
    """Merge the pieces of one number into its files, in the order of their rows' numbers, and remove them.

    Rows that are gone are left out; without any row there is no file. A row whose split has changed leaves its old
    file. `around` is entered before and left after it, while nobody else writes this number. Raises OSError.
    """
    name = f"{number:05d}{PACKED[records.plan.dataset]}"
    pack = pack_tar if records.plan.dataset == "webdataset" else pack_parquet
    with number_locked(folder, number, ALONE), around or nullcontext():
        waiting = [path for path in _numbered(folder / PIECES) if path.name == name]
        pieces = {path.relative_to(folder / PIECES): _whole(path) for path in waiting}
        files = {path.relative_to(folder) for path in packed_files(folder) if path.name == name}
        new = {row for rows in pieces.values() for row in rows}
        for place in sorted({*pieces, *files}):
            own = pieces.get(place, {})
            (folder / place).parent.mkdir(exist_ok=True)
            moved = new - own.keys()
            pack(folder / place, records, own, partial(_is_left_out, is_gone, moved))
        for path in waiting:
            shutil.rmtree(path)
            if path.parent != folder / PIECES:
                with suppress(OSError):  # another number of this split waits
                    path.parent.rmdir()


def _is_left_out(is_gone: Callable[[int], bool], moved: Collection[int], row: int) -> bool:
    return row in moved or is_gone(row)


def _numbered(folder: Path) -> Iterable[Path]:
    """What is called like a packed file in a folder, and in those of its splits."""
    found = (*folder.glob("[0-9]*.*"), *(path for path in folder.glob("*/[0-9]*.*") if path.parent.name != PIECES))
    return (path for path in found if path.suffix in _SUFFIXES and path.stem.isdecimal())


def _whole(folder: Path) -> dict[int, Path]:
    """The finished pieces by their rows' numbers; a leading dot marks one that a killed run left."""
    return {number_of(path.name): path for path in folder.iterdir() if not path.name.startswith(".")}


def number_locked(folder: Path, number: int, kind: int) -> AbstractContextManager[None]:
    """The lock of a number: many may write its pieces, or one may pack them."""
    lock = folder / JOURNALS / f"{number:05d}.joining"
    lock.parent.mkdir(exist_ok=True)
    return locked(lock, kind)
