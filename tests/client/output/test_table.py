"""Promises of the tables: the input's columns, what became of each row, the same bytes from the same journal."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from client.input.source import Row
from client.output.journal import Journal, read_journals
from client.output.plan import Plan
from client.output.table import Totals, write_tables
from client.run.run import Run
from tests.rig.runs import run_into


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "in" / "journal").mkdir(parents=True)
    return run_into(tmp_path, Plan())


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def rows(*values: tuple[str, ...]) -> list[Row]:
    return [Row(index, one, one[0]) for index, one in enumerate(values)]


def journal_of(run: Run) -> Journal:
    return Journal(run.folder / "journal" / "000001.1of1.rows")


def test_rows_finish_in_any_order_and_are_written_in_the_inputs(run: Run) -> None:
    table = rows(("a.jpg",), ("b.jpg",), ("c.jpg",), ("d.jpg",))
    journal = journal_of(run)
    for row in (table[2], table[0]):
        journal.done(row.index, row.values)
    journal.failed(1, table[1].values, 'it is "damaged"')
    totals = write_tables(run, read_journals(run.folder / "journal"), ["image_path"], table)
    assert totals == Totals(done=2, failed=1, missing=1)
    assert lines(run.table) == [
        ["image_path", "output_image_path", "error"],
        ["a.jpg", "in/00000_output.png", ""],
        ["b.jpg", "", 'it is "damaged"'],
        ["c.jpg", "in/00002_output.png", ""],
    ]
    assert lines(run.failures) == [["row", "image_path", "cause"], ["2", "b.jpg", 'it is "damaged"']]


def test_columns_pass_through_and_old_results_are_replaced(run: Run) -> None:
    run = replace(run, plan=Plan(variants=2))
    (row,) = rows(("a.jpg", "old", "old", "1,5"))
    journal_of(run).done(0, row.values)
    columns = ["image_path", "error", "output_image_path", "lighting, score"]
    write_tables(run, read_journals(run.folder / "journal"), columns, [row])
    assert lines(run.table) == [
        ["image_path", "lighting, score", "output_image_path", "error"],
        ["a.jpg", "1,5", "in/00000_output_0.png", ""],
        ["a.jpg", "1,5", "in/00000_output_1.png", ""],
    ]
    assert not run.failures.exists()


def test_a_disk_that_fails_leaves_the_old_table(run: Run) -> None:
    run.table.write_text("old")
    (run.table.parent / ".in.csv.tmp").symlink_to("/dev/full")
    past = read_journals(run.folder / "journal")
    with pytest.raises(OSError, match="No space left"):
        write_tables(run, past, ["image_path"], rows(("a.jpg",)))
    assert run.table.read_text() == "old"
    shutil.rmtree(run.folder)
