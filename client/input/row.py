"""A row of the input, the shard that it is in, and the stem of its files' names.

A name begins with the row's index, so two names differ however the ids are spelled, on disks that fold case or
Unicode forms as well. It holds no dot: a member of a webdataset ends its key at the first one.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from client.errors import shown

_ID_BYTES = 80  # with index and ending a file name stays near 100 bytes of the 255 that disks allow
_READABLE = ("L", "M", "N")  # letters, their marks, numbers


@dataclass(frozen=True)
class Row:
    """One row: `values` in the order of the columns, as many as there are."""

    index: int  # position in the whole input, from 0, whatever the shard
    values: tuple[str, ...]
    image_path: str  # as written
    error: str | None = None  # why the row cannot be used, where the input itself is at fault
    id: str | None = None  # as written in the id column

    @property
    def name(self) -> str:
        """The stem of the row's files, which no other row has."""
        return name_of(self.index, self.id)

    def __str__(self) -> str:
        """The row as people count them: from 1, with its photo."""
        return f"row {self.index + 1} ({shown(self.image_path) or 'no photo'})"


@dataclass(frozen=True)
class Shard:
    """Every `count`-th block of rows: those with index // block % count == number - 1, where numbers count from 1.

    Index, name, light and files of a row are the same in every shard and in the whole: a run may be cut another way
    in its middle, and shards may share one folder.
    """

    number: int = 1
    count: int = 1
    block: int = 1  # rows that stay together: those of a tar

    def __contains__(self, index: int) -> bool:
        return index // self.block % self.count == self.number - 1


WHOLE = Shard()


def name_of(index: int, identifier: str | None = None) -> str:
    """The stem of a row's files: `00007`, or `00007_Portrait-of-Ada` for the id `Portrait of Ada!`.

    A pure function. Of the id, letters and numbers of any script and `_` are kept; what is between becomes a hyphen.
    """
    number = f"{index:05d}"
    readable = _readable(identifier or "")
    return f"{number}_{readable}" if readable else number


def _readable(text: str) -> str:
    """The letters and numbers of `text` in groups, at most _ID_BYTES of UTF-8."""
    composed = unicodedata.normalize("NFC", text[:_ID_BYTES])
    spaced = "".join(c if c == "_" or unicodedata.category(c)[0] in _READABLE else " " for c in composed)
    joined = "-".join(spaced.split()).encode()
    return joined[:_ID_BYTES].decode(errors="ignore").rstrip("-")
