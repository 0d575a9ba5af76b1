"""Names the files of a row: readable where the table has an id, never those of another row.

A name begins with the row's index, so two names differ however the ids are spelled, on disks that fold case or
Unicode forms as well. It holds no dot: a member of a webdataset ends its key at the first one.
"""

from __future__ import annotations

import unicodedata

_ID_BYTES = 80  # with index and ending a file name stays near 100 bytes of the 255 that disks allow
_READABLE = ("L", "M", "N")  # letters, their marks, numbers


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
