"""The journal of a run into a store: an entry for each packed number, an object beside the files that it speaks of.

An entry says what has become of the number's rows, which files hold them, and what their pictures are like. It is
written after the files, and counts only while they are there as it says, so what is done is really there.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from client.input.row import Identity
from client.output.journal import DONE, JOURNALS, PASSING, Journal, read_journals
from client.output.locks import SHARED
from client.output.pieces import number_locked

SUFFIX = ".entry"
_FETCHED = "000000"  # the session of entries: any other is later


@dataclass(frozen=True)
class Entry:
    """What a store's journal says of the rows of one number."""

    files: Mapping[str, str]  # tags of the packed files by their paths in the run's folder
    counts: Mapping[str, Any]  # of their pictures, as Counts has them
    rows: str  # the journal's records, in base 64
    causes: str

    def encoded(self) -> bytes:
        """The content of the object."""
        return json.dumps(vars(self), ensure_ascii=False, separators=(",", ":")).encode()


class EntryJournal:
    """One process's part of the journal, in files of one number each, as entries are made of them. Thread-safe."""

    def __init__(self, folder: Path, name: str, rows_per_file: int) -> None:
        """`folder` is the run's; `name` no other process of it has; `rows_per_file` are the rows of a number."""
        self._folder, self._name, self._rows_per_file = folder, name, rows_per_file
        self._lock = threading.Lock()

    def done(self, row: Identity, mark: int = 0) -> None:
        """See Journal."""
        with self._of(row.number) as journal:
            journal.done(row, mark)

    def failed(self, row: Identity, cause: str, *, passing: bool = False) -> None:
        """See Journal."""
        with self._of(row.number) as journal:
            journal.failed(row, cause, passing=passing)

    def gone(self, number: int) -> None:
        """See Journal."""
        with self._of(number) as journal:
            journal.gone(number)

    def close(self) -> None:
        """Nothing is open between two records."""

    @contextmanager
    def _of(self, row: int) -> Iterator[Journal]:
        number = row // self._rows_per_file
        with number_locked(self._folder, number, SHARED), self._lock:
            journal = Journal(self._folder / JOURNALS / f"{self._name}.{number:05d}.rows", anew=False)
            try:
                yield journal
            finally:
                journal.close()


def read_entry(journals: Path, number: int) -> Entry:
    """The entry of a number as it is known here; an empty one if there is none. Raises OSError."""
    try:
        return decoded((journals / f"{number:05d}{SUFFIX}").read_bytes())
    except FileNotFoundError:
        return Entry({}, {}, "", "")


def decoded(content: bytes) -> Entry:
    """The entry in an object. Raises OSError where it is none."""
    try:
        return Entry(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise OSError(f"the journal holds an entry that cannot be read ({error}); use --restart") from error


def take_entry(journals: Path, number: int, entry: Entry) -> None:
    """Let an entry be what the journal here says of a number but for later records. Raises OSError."""
    rows = journals / f"{_FETCHED}.{number:05d}.rows"
    rows.with_suffix(".causes").write_text(entry.causes, "utf-8")
    rows.write_bytes(base64.b64decode(entry.rows))
    (journals / f"{number:05d}{SUFFIX}").write_bytes(entry.encoded())


def keep_entry(journals: Path, number: int, entry: Entry) -> None:
    """Let an entry be all that the journal here says of a number. Raises OSError."""
    take_entry(journals, number, entry)
    for path in journals.glob(f"*.{number:05d}.*"):
        if not path.name.startswith(_FETCHED):
            path.unlink()


def drop_entry(journals: Path, number: int) -> None:
    """Forget all that the journal here says of a number."""
    for path in (journals / f"{number:05d}{SUFFIX}", *journals.glob(f"*.{number:05d}.*")):
        path.unlink(missing_ok=True)


def made_entry(journals: Path, number: int, files: Mapping[str, str], counts: Mapping[str, Any]) -> Entry:
    """The entry of a number's files from all that the journal here says of its rows. Raises OSError."""
    past = read_journals(journals, marks=True, pattern=f"*.{number:05d}.rows")
    merged = journals / f"{number:05d}.merged"
    for path in (merged, merged.with_suffix(".causes")):
        path.unlink(missing_ok=True)
    journal = Journal(merged)
    for row in np.flatnonzero(past.states).tolist():
        state, identity = past.states[row], Identity(row, int(past.keys[row]), int(past.contents[row]))
        if state == DONE:
            journal.done(identity, past.mark(row))
        else:
            journal.failed(identity, past.cause(row), passing=state == PASSING)
    journal.close()
    rows, causes = base64.b64encode(merged.read_bytes()).decode(), merged.with_suffix(".causes").read_text("utf-8")
    merged.unlink()
    merged.with_suffix(".causes").unlink()
    return Entry(files, counts, rows, causes)


def entry_numbers(journals: Path) -> list[int]:
    """The numbers that have an entry here, in order."""
    return sorted(int(path.stem) for path in journals.glob(f"*{SUFFIX}"))


def unsaid_numbers(journals: Path) -> list[int]:
    """The numbers whose rows have records that no entry has yet, in order."""
    later = (path for path in journals.glob("*.*.*.rows") if not path.name.startswith(_FETCHED))
    return sorted({int(path.stem.rpartition(".")[2]) for path in later})
