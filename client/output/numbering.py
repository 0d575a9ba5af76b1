"""Gives each row of a table the number that its files are named after, which it keeps wherever it stands.

A row that the journal knows has the number recorded there. The others take, in the table's order, the smallest numbers
that are free, so in a new folder a row's number is its index. As what one process records are numbers that every other
one would give too, shards and processes agree without a word, as long as they read the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from client.input.csv_file import Record
from client.input.row import Identity
from client.output.journal import DONE, Past

# From records to their keys, equal for equal rows, and the checksums of their content.
Identify = Callable[[Sequence[Record]], tuple[NDArray[np.uint64], NDArray[np.uint32]]]
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, so the keys of the first 2^64 equal rows differ
_RUNS = 4  # sorted runs of a similar length that are kept before they are merged


class Numbering:
    """The numbers of one pass over a table, block after block."""

    def __init__(self, past: Past, identify: Identify, kept: Collection[int] = ()) -> None:
        """Rows with a state of `kept` in the past are only counted."""
        self._past, self._identify = past, identify
        self._skipped = np.isin(np.arange(256), list(kept))
        self._read = 0  # rows so far
        self._moved = False  # whether a row was not where it was when it got its number
        self._seen = np.zeros(len(past.states), np.bool_)  # by number

    def __call__(self, records: Sequence[Record]) -> list[tuple[int, Identity]]:
        """The positions, in the table's next records, of those that are not skipped, and what they are known by."""
        keys, contents = self._identify(records)
        numbers, keys = self._numbers(keys)
        left = np.flatnonzero(~self._skipped[self._past.states_of(numbers, keys, contents)])
        if not len(left):
            return []
        identities = zip(numbers[left].tolist(), keys[left].tolist(), contents[left].tolist(), strict=True)
        return list(zip(left.tolist(), map(Identity._make, identities), strict=True))

    def gone(self) -> NDArray[np.intp]:
        """After the last row: the numbers of rows that are done and no longer in the table."""
        states = self._past.states
        return np.flatnonzero((states == DONE) & ~self._seen[: len(states)])

    def left(self) -> NDArray[np.bool_]:
        """After the last row: which numbers are of rows that are done and in the table."""
        states = self._past.states
        done: NDArray[np.bool_] = states == DONE
        done[: len(self._seen)] &= self._seen[: len(states)]
        return done

    def is_gone(self, number: int) -> bool:
        """After the last row: whether no row of the table has this number."""
        return number >= len(self._seen) or not self._seen[number]

    def _numbers(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """The numbers of the next rows, and their keys with equal rows told apart."""
        start, stop = self._read, self._read + len(keys)
        past = self._past
        if not self._moved:
            # Fast, and without further memory, for a table without changes, as in most runs that are resumed.
            if np.array_equal(past.keys[start:stop], keys) and past.states[start:stop].all():
                self._read = stop
                self._seen[start:stop] = True
                return np.arange(start, stop), keys
            self._prepare(start)
        self._read = stop
        keys = keys + self._equal.count(keys) * _STEP
        numbers = self._known(keys)
        new = np.flatnonzero(numbers < 0)
        numbers[new] = self._next_free(len(new))
        self._see(numbers)
        return numbers, keys

    def _prepare(self, start: int) -> None:
        """Make what finds rows that have moved; those before `start` have not, and each is the first of its kind."""
        past = self._past
        self._moved = True
        self._equal = _Occurrences(past.keys[:start])
        self._sorter = np.argsort(past.keys, kind="stable")
        self._free = np.flatnonzero(past.states == 0).astype(np.uint32)
        self._taken = 0  # of the free numbers

    def _known(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The rows' numbers in the journal; -1 for those that it does not know."""
        past = self._past
        if not len(past.keys):
            return np.full(len(keys), -1)
        at = past.keys.searchsorted(keys, sorter=self._sorter)
        numbers = self._sorter[np.minimum(at, len(past.keys) - 1)]
        return np.where((past.keys[numbers] == keys) & (past.states[numbers] > 0), numbers, -1)

    def _next_free(self, count: int) -> NDArray[np.int64]:
        """The smallest numbers that are free: those between the known ones, then those behind."""
        ranks = np.arange(self._taken, self._taken + count)
        self._taken += count
        within = self._free[ranks[ranks < len(self._free)]]
        return np.concatenate((within, ranks[len(within) :] - len(self._free) + len(self._past.states)))

    def _see(self, numbers: NDArray[np.int64]) -> None:
        if len(numbers) and (highest := int(numbers.max())) >= len(self._seen):
            self._seen = np.concatenate((self._seen, np.zeros(highest + 1 + len(self._seen) // 2, np.bool_)))
        self._seen[numbers] = True


class _Occurrences:
    """Counts equal keys. Sorted runs, merged as they become many, take 8 bytes a key; a dict would take 100."""

    def __init__(self, keys: NDArray[np.uint64]) -> None:
        """Begin with `keys`, which may be none."""
        self._runs = [np.sort(keys)] if len(keys) else []

    def count(self, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """For each key how many equal ones came before it, in `keys` and earlier calls; note them all."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        before = np.arange(len(keys)) - ordered.searchsorted(ordered)
        for run in self._runs:
            first = run.searchsorted(ordered)
            equal = np.flatnonzero(run[np.minimum(first, len(run) - 1)] == ordered)
            before[equal] += run.searchsorted(ordered[equal], "right") - first[equal]
        self._add(ordered)
        counts = np.empty(len(keys), np.uint64)
        counts[order] = before
        return counts

    def _add(self, run: NDArray[np.uint64]) -> None:
        self._runs.append(run)
        # Merged in groups, so that each key is moved a few times only.
        while len(self._runs) >= _RUNS and len(self._runs[-_RUNS]) < 2 * len(run):
            run = np.concatenate(self._runs[-_RUNS:])
            del self._runs[-_RUNS:]
            run.sort(kind="stable")
            self._runs.append(run)
