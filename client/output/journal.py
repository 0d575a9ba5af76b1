"""The journal: the result of each row, appended as a record, so that a killed run can be resumed.

Every process of a run appends to two files of its own: `<name>.rows` has a record of 24 bytes for each finished row,
`<name>.causes` a line of JSON for each failure. A record is written after the row's files; an incomplete one, or one
that does not match its checksum, is ignored. Names sort by time, and the last record of a row counts. A power failure
may lose the last seconds, which the kernel had not written yet.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

DONE, FAILED, PASSING = 1, 2, 3  # PASSING: failed for a transient reason, such as a lost server

_FIELDS = Struct("<IIIQ")  # index, state, checksum of the row, place of its cause; then a CRC-32 of these
_RECORD = np.dtype([("index", "<u4"), ("state", "<u4"), ("row", "<u4"), ("cause", "<u8"), ("crc", "<u4")])
_BLOCK = 32_768  # records checked at a time
_FILE_BITS = 40  # a cause's place in memory: its file's number, above this many bits of offset


def checksum(values: Sequence[str] | Exception) -> int:
    """CRC-32 of a row's fields, which changes when the row is edited."""
    text = str(values) if isinstance(values, Exception) else "\x1f".join(values)
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


class Journal:
    """One process's part of the journal, open for appending. Thread-safe."""

    def __init__(self, path: Path) -> None:
        """Create `path`, which ends in .rows and must not exist, and its .causes. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self.path = path
        self._rows = os.open(path, flags, 0o666)
        self._causes = os.open(path.with_suffix(".causes"), flags, 0o666)
        self._sizes = {self._rows: 0, self._causes: 0}
        self._lock = threading.Lock()

    def done(self, index: int, values: Sequence[str]) -> None:
        """Record that all files of the row are written. Raises OSError and leaves the journal as it was."""
        self._append(index, DONE, values, 0)

    def failed(self, index: int, values: Sequence[str], cause: str, *, passing: bool = False) -> None:
        """Record a failure; if it is `passing`, the next run retries the row. Raises OSError."""
        line = json.dumps({"row": index + 1, "cause": cause}) + "\n"
        with self._lock:
            place = self._write(self._causes, line.encode())
        self._append(index, PASSING if passing else FAILED, values, place)

    def close(self) -> None:
        """Close both files."""
        os.close(self._rows)
        os.close(self._causes)

    def _append(self, index: int, state: int, values: Sequence[str], cause: int) -> None:
        fields = _FIELDS.pack(index, state, checksum(values), cause)
        with self._lock:
            self._write(self._rows, fields + zlib.crc32(fields).to_bytes(4, "little"))

    def _write(self, file: int, content: bytes) -> int:
        """Append all of `content`, or nothing if the disk is full; return its offset."""
        start = self._sizes[file]
        if os.write(file, content) != len(content):
            os.ftruncate(file, start)  # half a record would misalign all later ones
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._sizes[file] = start + len(content)
        return start


@dataclass(frozen=True)
class Past:
    """The last record of each index in a folder's journals, in 5 bytes of memory; without a record the state is 0."""

    states: NDArray[np.uint8]
    rows: NDArray[np.uint32]  # checksums
    causes: NDArray[np.uint64]  # of failures: file and offset
    files: tuple[Path, ...]

    def finder(self) -> Callable[[int, Sequence[str] | Exception], int]:
        """A fast function of index and fields that gives DONE, FAILED or PASSING, or 0 for a new or edited row."""
        states, rows, count = self.states.tobytes(), self.rows.data, len(self.states)

        def state(index: int, values: Sequence[str] | Exception) -> int:
            return states[index] if index < count and states[index] and rows[index] == checksum(values) else 0

        return state

    def left(self, kept: Collection[int]) -> Callable[[int, Sequence[Sequence[str] | Exception]], Sequence[int]]:
        """A function of a block's first index and its records: the positions of those with a state not in `kept`.

        It compares a block without changes, as most are in a resumed run, without a loop in Python.
        """
        state_of, rows, count = self.finder(), self.rows.data, len(self.states)
        finished = self.states.tobytes().translate(bytes(state in kept for state in range(256)))

        def places(start: int, records: Sequence[Sequence[str] | Exception]) -> Sequence[int]:
            stop = start + len(records)
            if stop <= count and finished.find(0, start, stop) < 0:
                with suppress(TypeError, UnicodeEncodeError):  # an unreadable record, or a path that is not UTF-8
                    found = list(map(zlib.crc32, map(str.encode, map("\x1f".join, records))))  # type: ignore[arg-type]
                    if found == rows[start:stop].tolist():
                        return ()
            return [k for k, record in enumerate(records) if state_of(start + k, record) not in kept]

        return places

    def cause(self, index: int) -> str:
        """Why a row with state FAILED or PASSING failed."""
        number, offset = divmod(int(self.causes[index]), 1 << _FILE_BITS)
        with self.files[number].with_suffix(".causes").open("rb") as stream:
            stream.seek(offset)
            try:
                return str(json.loads(stream.readline())["cause"])
            except ValueError:
                return "its cause was lost; --retry-failed retries the row"


def read_journals(folder: Path) -> Past:
    """Read all journals in `folder`; without that folder the past is empty. Raises OSError."""
    files = tuple(sorted(folder.glob("*.rows")))
    states, rows, causes = np.zeros(0, np.uint8), np.zeros(0, np.uint32), np.zeros(0, np.uint64)
    count = 0
    for number, file in enumerate(files):
        for block in _blocks(file):
            index = block["index"]
            count = max(count, int(index.max()) + 1)
            states, rows = _with_room(states, count), _with_room(rows, count)
            states[index], rows[index] = block["state"], block["row"]
            failures = block[block["state"] != DONE]
            if len(failures):  # most runs have none, and need no memory for them
                causes = _with_room(causes, count)
                causes[failures["index"]] = failures["cause"] + np.uint64(number << _FILE_BITS)
    return Past(states[:count], rows[:count], causes, files)


def _with_room(array: NDArray[Any], count: int) -> NDArray[Any]:
    """The array, or a copy that is longer by `count` if it is shorter than that."""
    if len(array) >= count:
        return array
    longer = np.zeros(count + len(array), array.dtype)
    longer[: len(array)] = array
    return longer


def _blocks(file: Path) -> Iterator[NDArray[np.void]]:
    """The valid records of a file, in blocks that are never empty."""
    with file.open("rb", buffering=0) as stream:
        while content := stream.read(_BLOCK * _RECORD.itemsize):
            whole = len(content) // _RECORD.itemsize
            records = np.frombuffer(content, _RECORD, whole)
            records = records[records["crc"] == _crc32(np.frombuffer(content, np.uint8, whole * _RECORD.itemsize))]
            if len(records):
                yield records


def _crc32(content: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """zlib's CRC-32 of each record's fields, for all records at once."""
    crc = np.full(len(content) // _RECORD.itemsize, 0xFFFFFFFF, np.uint32)
    for column in content.reshape(-1, _RECORD.itemsize)[:, : _FIELDS.size].T:
        crc = _CRC_TABLE[(crc ^ column) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def _crc_table() -> NDArray[np.uint32]:
    """The table of a CRC-32 by bytes (ISO 3309, the reflected polynomial 0xEDB88320)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1).astype(np.uint32)
    return table


_CRC_TABLE = _crc_table()
