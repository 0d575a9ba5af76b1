"""Finds rows with the same photo: equal bytes of the file, and equal columns that override something.

Which of several equal rows stays depends on the table alone: it is the first one.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

from client.errors import RowError
from client.input.photos import UNKNOWN_SIZE, photo_size, read_image
from client.input.row import Row

POLICIES = ("warn", "skip", "keep")
_AT_ONCE = 16  # files: a disk's latency is longer than a hash
_BLOCK = 1024
_SHOWN = 5
_Made = TypeVar("_Made")


def find_duplicates(
    rows: Callable[[], Iterable[Row]], photos: str, places: Sequence[int], timeout: float
) -> dict[int, int]:
    """The index of each row whose photo an earlier row has, with the index of that row.

    `rows` gives the whole table, twice; `photos` is where relative paths start; `places` are the columns that override
    something. Only files of one size are read; photos with URLs have no size before, so with one all are read.
    Rows whose photo cannot be read are none: they fail by themselves.
    """
    sizes = array("q", _mapped(lambda row: _size(row, photos), rows()))
    known, counts = np.unique(np.frombuffer(sizes, np.int64), return_counts=True)
    everything = UNKNOWN_SIZE in known
    several = set(known[counts > 1].tolist())
    wanted = (row for row in rows() if sizes[row.index] and (everything or sizes[row.index] in several))
    first: dict[bytes, int] = {}
    found = {}
    for index, key in _mapped(lambda row: (row.index, _key(row, photos, places, timeout)), wanted):
        if key and first.setdefault(key, index) != index:
            found[index] = first[key]
    return found


class Repeats:
    """Rows that are done and have the photo of an earlier one, from digests, in 16 bytes for each row."""

    def __init__(self, places: Sequence[int]) -> None:
        """`places` are the columns that override something."""
        self._places = places
        self._keys, self._indices = array("Q"), array("q")

    def add(self, row: Row, digest: int) -> None:
        """Note a row, in the table's order; `digest` is that of its photo, 0 if it is not known."""
        if digest:
            self._keys.append(digest ^ zlib.crc32(_cells(row, self._places)))
            self._indices.append(row.index)

    def words(self) -> str:
        """How many rows repeat another, in a sentence; empty if none does."""
        keys = np.frombuffer(self._keys, np.uint64)
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        again = np.flatnonzero(first[inverse] != np.arange(len(keys)))
        if not len(again):
            return ""
        pairs = [(self._indices[at] + 1, self._indices[first[inverse[at]]] + 1) for at in again[:_SHOWN].tolist()]
        some = ", ".join(f"row {one} that of row {other}" for one, other in pairs) + (
            ", …" if len(again) > _SHOWN else ""
        )
        return (
            f"warning: {len(again):,} rows have the photo of an earlier one ({some}); --duplicates skip leaves them out"
        )


def _mapped(work: Callable[[Row], _Made], rows: Iterable[Row]) -> Iterator[_Made]:
    """What `work` gives for each row, in order, for several rows at once."""
    remaining = iter(rows)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while block := list(islice(remaining, _BLOCK)):
            yield from threads.map(work, block)


def _size(row: Row, photos: str) -> int:
    try:
        return 0 if row.error else photo_size(row.image_path, row.folder or photos)
    except RowError:
        return 0


def _key(row: Row, photos: str, places: Sequence[int], timeout: float) -> bytes:
    try:
        image = read_image(row.image_path, row.folder or photos, timeout)
    except RowError:
        return b""
    return hashlib.sha256(image).digest() + _cells(row, places)


def _cells(row: Row, places: Sequence[int]) -> bytes:
    return "\x1f".join(row.values[place].strip() for place in places).encode("utf-8", "surrogatepass")
