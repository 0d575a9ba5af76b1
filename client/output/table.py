"""The tables of a run: the output CSV and the list of failed rows, both from the journal, in one pass.

They are written atomically when a run ends, and can be rebuilt at any time: the same journal gives the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.input.own_columns import FAILURE_COLUMNS, RESULT_COLUMNS, added, own_width
from client.input.row import Row
from client.output.folder import RunFolder
from client.output.journal import DONE, Past
from client.output.plan import Plan


@dataclass(frozen=True)
class Totals:
    """How many rows are done, failed, and not finished; the numbers of done ones that the table no longer has."""

    done: int
    failed: int
    missing: int
    gone: Sequence[int] = ()


def write_tables(
    folder: RunFolder,
    plan: Plan,
    past: Past,
    columns: Sequence[str],
    rows: Iterable[Row],
    photos: str,
    see: Callable[[Row], object] = lambda row: None,
) -> Totals:
    """Write the output CSV and, where rows failed, failed.csv; `rows` is the whole input in order; `see` each done row.

    A done row has a line for each of its leading files, a failed one a line with its error, others none. failed.csv has
    the failed rows as they are in the input, so it can be one; their paths start at `photos`, a folder or a URL.
    Raises OSError.
    """
    width = own_width(columns)
    own = columns[:width]
    state_of = past.finder()
    done = failed = missing = 0
    with _table(folder.table) as table, _table(folder.failures) as failures:
        table.writerow([*own, *added(own, RESULT_COLUMNS)])
        failures.writerow([*own, *added(own, FAILURE_COLUMNS)])
        for row in rows:
            values = row.values[:width]
            state = state_of(row.identity)
            if state == DONE:
                done += 1
                see(row)
                files = plan.leading(row)
                table.writerows([*values, f"{folder.path.name}/{file}" if file else "", ""] for file in files)
            elif state:
                failed += 1
                cause = past.cause(row.number)
                table.writerow([*values, "", cause])
                failures.writerow([*values, row.folder or photos, row.index + 1, cause])
            else:
                missing += 1
    if not failed:
        folder.failures.unlink()
    return Totals(done, failed, missing)


@contextmanager
def _table(path: Path) -> Iterator[Any]:
    """A CSV writer whose file gets its name at the end of the block, unless there was an error."""
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        with unfinished.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
            yield csv.writer(stream, lineterminator="\n")
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
