"""The tables of a run: the output CSV and the list of failed rows, both from the journal, in one pass.

They are written atomically when a run ends, and can be rebuilt at any time: the same journal gives the same bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.input.row import Row
from client.output.folder import RunFolder
from client.output.journal import DONE, Past
from client.output.plan import Plan

RESULT_COLUMNS = ("output_image_path", "error")
FAILURE_COLUMNS = ("row", "image_path", "cause")


@dataclass(frozen=True)
class Totals:
    """The numbers of rows that are done, failed, and not finished."""

    done: int
    failed: int
    missing: int


def write_tables(folder: RunFolder, plan: Plan, past: Past, columns: Sequence[str], rows: Iterable[Row]) -> Totals:
    """Write the output CSV and, where rows failed, their list; `rows` is the whole input in order.

    A done row has a line for each of its leading files, a failed one a line with its error, others none.
    Raises OSError.
    """
    kept = [i for i, name in enumerate(columns) if name.strip() not in RESULT_COLUMNS]
    state_of = past.finder()
    done = failed = missing = 0
    with _table(folder.table) as table, _table(folder.failures) as failures:
        table.writerow([*(columns[i] for i in kept), *RESULT_COLUMNS])
        failures.writerow(FAILURE_COLUMNS)
        for row in rows:
            values = [row.values[i] for i in kept]
            state = state_of(row.index, row.values)
            if state == DONE:
                done += 1
                files = plan.leading(row)
                table.writerows([*values, f"{folder.path.name}/{file}" if file else "", ""] for file in files)
            elif state:
                failed += 1
                cause = past.cause(row.index)
                table.writerow([*values, "", cause])
                failures.writerow([row.index + 1, row.image_path, cause])
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
