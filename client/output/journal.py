"""The journal: the result of each row, appended as a record, so that a killed run can be resumed.

Every process of a run appends to two files of its own: `<name>.rows` has a record of 32 bytes for each finished row,
`<name>.causes` a line of JSON for each failure. A record is written after the row's files; an incomplete one, or one
that does not match its checksum, is ignored. Names sort by time, and the last record of a number counts. A power
failure may lose the last seconds, which the kernel had not written yet.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.input.row import Identity

JOURNALS = "journal"  # the folder of the journals in that of a run
SETTINGS, NETWORKS = "settings.json", "networks.json"  # what all rows have in common, beside the journals
VERSION = 2  # of the records
GONE, DONE, FAILED, PASSING = 0, 1, 2, 3  # PASSING: failed for a transient reason, such as a lost server

_FIELDS = Struct("<IIQIQ")  # number, state, key, content, cause; then a CRC-32 of these
_RECORD = np.dtype(
    [("number", "<u4"), ("state", "<u4"), ("key", "<u8"), ("content", "<u4"), ("cause", "<u8"), ("crc", "<u4")]
)
_BLOCK = 32_768  # records checked at a time
NO_MARKS = np.zeros(0, np.uint64)
_FILE_BITS = 40  # a cause's place in memory: its file's number, above this many bits of offset


class Journal:
    """One process's part of the journal, open for appending. Thread-safe."""

    def __init__(self, path: Path, *, anew: bool = True) -> None:
        """Create `path`, which ends in .rows and must not exist, and its .causes; or continue it. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_EXCL if anew else 0)
        self.path = path
        self._rows = os.open(path, flags, 0o666)
        self._causes = os.open(path.with_suffix(".causes"), flags, 0o666)
        self._sizes = {file: os.fstat(file).st_size for file in (self._rows, self._causes)}
        self._lock = threading.Lock()

    def done(self, row: Identity, mark: int = 0) -> None:
        """Record that all files of the row are written, and 64 bits that tell its photo's content, or 0.

        Raises OSError and leaves the journal as it was.
        """
        self._append(row, DONE, mark)

    def failed(self, row: Identity, cause: str, *, passing: bool = False) -> None:
        """Record a failure; if it is `passing`, the next run retries the row. Raises OSError."""
        line = json.dumps({"number": row.number, "cause": cause}) + "\n"
        with self._lock:
            place = self._write(self._causes, line.encode())
        self._append(row, PASSING if passing else FAILED, place)

    def gone(self, number: int) -> None:
        """Record that the row with this number is no longer in the table, so that another may have it."""
        self._append(Identity(number, 0, 0), GONE, 0)

    def close(self) -> None:
        """Close both files."""
        os.close(self._rows)
        os.close(self._causes)

    def _append(self, row: Identity, state: int, cause: int) -> None:
        fields = _FIELDS.pack(row.number, state, row.key, row.content, cause)
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
    """The last record of each number in a folder's journals, in 9 to 21 bytes of memory; without one the state is 0."""

    states: NDArray[np.uint8]
    keys: NDArray[np.uint64]
    contents: NDArray[np.uint32]  # of rows with ids
    causes: NDArray[
        np.uint64
    ]  # of failures: file and offset; of rows that are done: their marks, if they were asked for
    files: tuple[Path, ...]

    def states_of(
        self, numbers: NDArray[np.integer[Any]], keys: NDArray[np.uint64], contents: NDArray[np.uint32]
    ) -> NDArray[np.uint8]:
        """DONE, FAILED or PASSING for each row, or 0 if it is new or edited."""
        states = np.zeros(len(numbers), np.uint8)
        old = np.flatnonzero(numbers < len(self.states))
        at = numbers[old]
        same = (self.keys[at] == keys[old]) & (self.contents[at] == contents[old])
        states[old] = np.where(same, self.states[at], 0)
        return states

    def finder(self) -> Callable[[Identity], int]:
        """`states_of` for one row, fast."""
        states, keys, contents = self.states.tobytes(), self.keys.data, self.contents.data

        def state(row: Identity) -> int:
            number, key, content = row
            known = number < len(states) and keys[number] == key and contents[number] == content
            return states[number] if known else 0

        return state

    def mark(self, number: int) -> int:
        """What tells the content of a photo whose row is done, or 0."""
        is_done = number < min(len(self.states), len(self.causes)) and self.states[number] == DONE
        return int(self.causes[number]) if is_done else 0

    def cause(self, number: int) -> str:
        """Why a row with state FAILED or PASSING failed."""
        file, offset = divmod(int(self.causes[number]), 1 << _FILE_BITS)
        with self.files[file].with_suffix(".causes").open("rb") as stream:
            stream.seek(offset)
            try:
                return str(json.loads(stream.readline())["cause"])
            except ValueError:
                return "its cause was lost; --retry-failed retries the row"


def read_journals(folder: Path, *, marks: bool = False, pattern: str = "*.rows") -> Past:
    """Read all journals in `folder`, and the `marks` of rows that are done; without it the past is empty.

    Raises OSError.
    """
    files = tuple(sorted(folder.glob(pattern)))
    states, keys, contents = np.zeros(0, np.uint8), np.zeros(0, np.uint64), np.zeros(0, np.uint32)
    causes = np.zeros(0, np.uint64)
    count = 0
    for number, file in enumerate(files):
        for block in _blocks(file):
            rows = block["number"]
            count = max(count, int(rows.max()) + 1)
            states, keys = _with_room(states, count), _with_room(keys, count)
            states[rows], keys[rows] = block["state"], block["key"]
            if len(contents) or block["content"].any():  # without ids it is zero everywhere
                contents = _with_room(contents, count)
                contents[rows] = block["content"]
            failed = block["state"] > DONE
            told = block["cause"] > 0 if marks else failed
            if len(causes) or failed.any() or told.any():  # most runs have none, and need no memory for them
                causes = _with_room(causes, count)
                cause = np.where(failed, block["cause"] + np.uint64(number << _FILE_BITS), block["cause"])
                causes[rows] = np.where(failed | told, cause, np.uint64(0))
    return Past(states[:count], keys[:count], _with_room(contents, count)[:count], causes, files)


def read_states(file: Path, numbers: Collection[int]) -> tuple[int, dict[int, int]]:
    """Of one process's .rows: how many records say DONE, and the states of those `numbers` that it has. Raises OSError.

    It has each number once.
    """
    done, wanted = 0, list(numbers)
    states: dict[int, int] = {}
    for block in _blocks(file):
        done += int(np.count_nonzero(block["state"] == DONE))
        found = block[np.isin(block["number"], wanted)]
        states |= dict(zip(found["number"].tolist(), found["state"].tolist(), strict=True))
    return done, states


def read_causes(file: Path) -> dict[int, str]:
    """Why rows failed in one process, by their numbers; `file` is its .rows. Raises OSError."""
    with file.with_suffix(".causes").open("rb") as stream:
        lines = (json.loads(line) for line in stream if line.endswith(b"\n"))
        return {line["number"]: str(line["cause"]) for line in lines}


def read_marks(folder: Path, count: int) -> NDArray[np.uint64]:
    """The marks of the first `count` numbers, 0 where none is known, in 8 bytes of memory for each. Raises OSError."""
    marks = np.zeros(count, np.uint64)
    for file in sorted(folder.glob("*.rows")):
        for block in _blocks(file):
            rows = block[block["number"] < count]
            marks[rows["number"]] = np.where(rows["state"] == DONE, rows["cause"], np.uint64(0))
    return marks


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
