"""Splits of a dataset, such as train and val, by what a photo shows: its file's content, or a column such as a name.

A row's split depends on the row alone, so it is the same however a run went, and whatever other rows there are.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from client.errors import RowError, TableError, shown
from client.input.row import Row

SPLIT_COLUMN = "split"  # wins over the shares
ALL = "train"  # the split of all rows where there are no splits
_NAME = re.compile(r"\w+", re.ASCII)  # `datasets` wants no more
_RESERVED = ("journal", "pieces", "__gallery__")  # folders beside those of the splits

Shares = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Splits:
    """How large the splits are, which may be none, and the column whose equal values are never divided."""

    shares: Shares = ()  # of 1
    group: str | None = None

    def of_table(self, columns: Sequence[str]) -> Splitter:
        """What splits the rows of a table. Raises TableError if it has no such column."""
        names = [name.strip() for name in columns]
        if self.group is not None and not self.shares:
            raise TableError("--group-column needs --split, such as --split train=0.9,val=0.1")
        if self.group is not None and self.group not in names:
            found = ", ".join(map(shown, names))
            raise TableError(f"the table has no column {self.group} for --group-column; the columns found are: {found}")
        return Splitter(
            self.shares,
            names.index(SPLIT_COLUMN) if SPLIT_COLUMN in names else None,
            None if self.group is None else names.index(self.group),
        )


@dataclass(frozen=True)
class Splitter:
    """Splits the rows of one table."""

    shares: Shares
    given: int | None  # the place of the column `split`
    group: int | None  # and that of --group-column

    @property
    def is_used(self) -> bool:
        """Whether each split has a folder of its own."""
        return bool(self.shares) or self.given is not None

    @property
    def places(self) -> tuple[int, ...]:
        """The columns that decide."""
        return tuple(place for place in (self.given, self.group) if place is not None)

    def needs_content(self, row: Row) -> bool:
        """Whether the row's split depends on its photo's content."""
        return bool(self.shares) and not self._named(row) and not self._group(row)

    def check(self, row: Row) -> None:
        """Raise RowError if the row's own split is none that a folder can be called."""
        name = self._named(row)
        if name and (not _NAME.fullmatch(name) or name in _RESERVED or name.isdecimal()):
            raise RowError(f"column {SPLIT_COLUMN} must be a name such as train, of letters and numbers, not {name!r}")

    def placed(self, row: Row, digest: int) -> Row:
        """The row with its split; `digest` is that of its photo's content, 0 if it is not known."""
        name = self._named(row)
        if not name and self.shares:
            group = self._group(row)
            if not group and not digest:
                return row
            name = choose(self.shares, f"group {group}" if group else f"photo {digest:016x}")
        return replace(row, split=name or (ALL if self.given is not None else ""))

    def _named(self, row: Row) -> str:
        return "" if self.given is None else row.values[self.given].strip()

    def _group(self, row: Row) -> str:
        return "" if self.group is None else row.values[self.group].strip()


def choose(shares: Shares, text: str) -> str:
    """The split of a text, by its hash."""
    at = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64
    for name, share in shares:
        at -= share
        if at < 0:
            return name
    return max(shares, key=lambda one: one[1])[0]  # the shares' rounding errors


def parse_splits(text: str) -> Shares:
    """Parse `train=0.9,val=0.1`, whose sum need not be 1. Raises ValueError with a sentence."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not _NAME.fullmatch(name) or name in _RESERVED or name.isdecimal() or name in shares:
            raise ValueError(f"{text!r} must name each split once, as in train=0.9,val=0.1; {name!r} is no such name")
        if not 0 <= share < math.inf:
            raise ValueError(f"the share of {name} must be a number from 0, as in train=0.9,val=0.1, not {number!r}")
        shares[name] = share
    total = sum(shares.values())
    if not total:
        raise ValueError(f"the shares in {text!r} must not all be 0")
    return tuple((name, share / total) for name, share in shares.items() if share)


def content_digest(photo: bytes) -> int:
    """64 bits of the SHA-256 of a photo's file, never 0."""
    return int.from_bytes(hashlib.sha256(photo).digest()[:8], "big") or 1
