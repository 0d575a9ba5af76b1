"""What can go wrong in a run, and how a path is shown in the sentence that says so."""

from __future__ import annotations

_SHOWN = 200  # characters of a path; a line stays a line that can be read


class TableError(Exception):
    """The input as a whole cannot be used; the message is a sentence with the remedy."""


class RowError(Exception):
    """One row cannot be done; the message is a sentence with the reason and the remedy."""


class PassingError(RowError):
    """A row that cannot be done now and may be another time: the server failed, not the photo."""


class UnreachableError(Exception):
    """No server can be used, so the run cannot begin or go on; the message is a sentence with the remedy."""


class StoppedError(Exception):
    """The run is ending: this row was not sent, or its call was dropped."""


def shown(text: str) -> str:
    """A path on one line that any terminal can print: what is not printable is escaped, what is too long is cut."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: _SHOWN + 1])
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
