"""The exceptions of a run and of the Python API, and how their messages show a path."""

from __future__ import annotations

_SHOWN = 200  # characters of a path, so that messages stay readable


class TableError(Exception):
    """The input as a whole cannot be used; the message is a sentence with the remedy."""


class RowError(Exception):
    """One row failed; the message is a sentence with the reason and the remedy."""


class PassingError(RowError):
    """A row failed for a transient reason, such as a lost server; the next run retries it."""


class UnreachableError(Exception):
    """No server can be used, so the run cannot start or continue; the message is a sentence with the remedy."""


class StoppedError(Exception):
    """The run is ending: this row was not sent, or its call was cancelled."""


class RelightError(Exception):
    """What was asked from Python cannot be done; the message is one sentence with the reason and the remedy."""


def shown(text: str) -> str:
    """A path as one printable line: unprintable characters are escaped, a long path is cut."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: _SHOWN + 1])
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
