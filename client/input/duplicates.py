"""Finds rows with the same photo: equal bytes of the file, and equal columns that override something.

Which of several equal rows stays depends on the table alone: it is the first one.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from client.errors import RowError
from client.input.photos import UNKNOWN_SIZE, photo_size, read_image
from client.input.row import Row, name_of

POLICIES = ("warn", "skip", "keep")
_AT_ONCE = 16  # files: a disk's latency is longer than a hash
_BLOCK = 1024
_SHOWN = 5
_PARTS = 16  # in which many rows are compared, to save memory
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


def repeated(marks: NDArray[np.uint64], wanted: NDArray[np.bool_]) -> str:
    """How many of the wanted rows repeat an earlier one, in a sentence; empty if none does. Rows are known by numbers.

    `marks` are 64 bits for each number, equal for equal rows and 0 where nothing is known, or none at all. Takes 3
    bytes of memory for each row.
    """
    if not len(marks):
        return ""
    wanted = wanted & (marks != 0)
    part, found, pairs = marks.view(np.uint8)[:: marks.itemsize] % _PARTS, 0, []
    for one in range(_PARTS):
        numbers = np.flatnonzero(wanted & (part == one))
        _, first, inverse = np.unique(marks[numbers], return_index=True, return_inverse=True)
        again = np.flatnonzero(first[inverse] != np.arange(len(numbers)))
        found += len(again)
        pairs += [(int(numbers[at]), int(numbers[first[inverse[at]]])) for at in again[:_SHOWN]]
    if not found:
        return ""
    some = ", ".join(f"{name_of(number)} has that of {name_of(first)}" for number, first in sorted(pairs)[:_SHOWN])
    more = ", …" if found > _SHOWN else ""
    return f"warning: {found:,} rows repeat the photo of another: {some}{more}; --duplicates skip leaves them out"


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
    return hashlib.sha256(image).digest() + override_cells(row, places)


def override_cells(row: Row, places: Sequence[int]) -> bytes:
    """What a row's columns override, as written; empty if nothing."""
    cells = [row.values[place].strip() for place in places]
    return "\x1f".join(cells).encode("utf-8", "surrogatepass") if any(cells) else b""
