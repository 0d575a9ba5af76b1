"""A row of the input, the shard that it is in, and the stem of its files' names.

A stem begins with the row's number, so no two are equal, even on disks that fold case or Unicode forms. It holds no
dot, because the key of a webdataset's sample ends at the first one.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

from client.errors import shown

_ID_BYTES = 80  # with number and ending a file name stays near 100 bytes of the 255 that disks allow
_READABLE = ("L", "M", "N")  # letters, their marks, numbers


class Identity(NamedTuple):
    """What a row is known by in a run's folder, wherever it stands in the table."""

    number: int  # that its files are named after; no other row has it
    key: int  # 64 bits, of its id, or of its content and how many equal rows stand before it
    content: int  # CRC-32 of photo and overrides if the id alone makes the key, else 0


@dataclass(frozen=True)
class Row:
    """One row: `values` in the order of the columns, as many as there are."""

    index: int  # position in the whole input, from 0
    values: tuple[str, ...]
    image_path: str  # as written
    error: str | None = None  # why the input's row cannot be used
    id: str | None = None  # as written in the id column
    numbered: Identity | None = None  # none where no run's folder numbers the rows
    folder: str | None = None  # where image_path starts, if not where the input's paths do
    split: str = ""  # the part of a dataset that it is in; empty where there are no splits, or not known yet

    @property
    def identity(self) -> Identity:
        """What the row is known by."""
        return self.numbered or Identity(self.index, 0, 0)

    @property
    def number(self) -> int:
        """The number that the row's files are named after: in a new folder its index."""
        return self.identity.number

    @property
    def name(self) -> str:
        """The stem of the row's files, which no other row has."""
        return name_of(self.number, self.id)

    def __str__(self) -> str:
        """The row's number, counted from 1, and its photo."""
        return f"row {self.index + 1} ({shown(self.image_path) or 'no photo'})"


@dataclass(frozen=True)
class Shard:
    """Every `count`-th block of rows: those with index // block % count == number - 1, where numbers count from 1.

    A row's index, number, light and files do not depend on the shard: a run may be resumed with other shards, and
    shards may share one folder.
    """

    number: int = 1
    count: int = 1
    block: int = 1  # rows that stay together: those of a tar

    def __contains__(self, index: int) -> bool:
        return index // self.block % self.count == self.number - 1


WHOLE = Shard()


def name_of(number: int, identifier: str | None = None) -> str:
    """The stem of a row's files: `00007`, or `00007_Portrait-of-Ada` for the id `Portrait of Ada!`.

    Letters and numbers of any script and `_` of the id are kept; all between them becomes a hyphen.
    """
    readable = _readable(identifier or "")
    return f"{number:05d}_{readable}" if readable else f"{number:05d}"


def _readable(text: str) -> str:
    """The letters and numbers of `text` in groups, at most _ID_BYTES of UTF-8."""
    composed = unicodedata.normalize("NFC", text[:_ID_BYTES])
    spaced = "".join(c if c == "_" or unicodedata.category(c)[0] in _READABLE else " " for c in composed)
    joined = "-".join(spaced.split()).encode()
    return joined[:_ID_BYTES].decode(errors="ignore").rstrip("-")
