"""Promises of the tables: the input's columns, the result of each row, the same bytes from the same journal."""

import csv
import shutil
from pathlib import Path

import pytest

from client.input.row import Row
from client.output.folder import RunFolder
from client.output.plan import Plan
from client.output.table import Totals, write_tables


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "in" / "journal").mkdir(parents=True)
    return RunFolder(tmp_path / "in")


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def rows(*values: tuple[str, ...]) -> list[Row]:
    return [Row(index, one, one[0]) for index, one in enumerate(values)]


def test_rows_finish_in_any_order_and_are_written_in_the_inputs(folder: RunFolder) -> None:
    table = rows(("a.jpg",), ("b.jpg",), ("c.jpg",), ("d.jpg",))
    journal = folder.journal(1)
    for row in (table[2], table[0]):
        journal.done(row.identity)
    journal.failed(table[1].identity, 'it is "damaged"')
    totals = write_tables(folder, Plan(), folder.past(), ["image_path"], table, "/photos")
    assert totals == Totals(done=2, failed=1, missing=1)
    assert lines(folder.table) == [
        ["image_path", "output_image_path", "error"],
        ["a.jpg", "in/00000_output.png", ""],
        ["b.jpg", "", 'it is "damaged"'],
        ["c.jpg", "in/00002_output.png", ""],
    ]
    assert lines(folder.failures) == [
        ["image_path", "image_folder", "row", "cause"],
        ["b.jpg", "/photos", "2", 'it is "damaged"'],
    ]


@pytest.mark.parametrize(
    ("columns", "written"),
    [
        (["image_path", "lighting, score", "output_image_path", "error"], ["output_image_path", "error"]),
        (["image_path", "error", "output_image_path", "relight_error"], ["output_image_path", "relight_error"]),
        (["image_path", "image_folder", "row", "cause"], ["output_image_path", "error"]),
    ],
)
def test_columns_pass_through_and_those_of_an_earlier_run_are_replaced(
    folder: RunFolder, columns: list[str], written: list[str]
) -> None:
    (row,) = rows(("a.jpg", *("1,5", "old", "old")[-len(columns) + 1 :]))
    folder.journal(1).done(row.identity)
    write_tables(folder, Plan(variants=2), folder.past(), columns, [row], "")
    own = len(columns) - len(set(columns) & {*written, "image_folder", "row", "cause"})
    assert lines(folder.table) == [
        [*columns[:own], *written],
        [*row.values[:own], "in/00000_output_0.png", ""],
        [*row.values[:own], "in/00000_output_1.png", ""],
    ]
    assert not folder.failures.exists()


def test_a_tables_own_columns_stay_whatever_they_are_called(folder: RunFolder) -> None:
    columns = ["error", "image_path", "row", "output_image_path"]
    (row,) = rows(("mine", "a.jpg", "7", "b"))
    folder.journal(1).failed(row.identity, "it is damaged")
    write_tables(folder, Plan(), folder.past(), columns, [row], "/photos")
    results, failures = lines(folder.table), lines(folder.failures)
    assert results == [
        [*columns, "relight_output_image_path", "relight_error"],
        ["mine", "a.jpg", "7", "b", "", "it is damaged"],
    ]
    assert failures == [
        [*columns, "image_folder", "relight_row", "cause"],
        ["mine", "a.jpg", "7", "b", "/photos", "1", "it is damaged"],
    ]


def test_a_disk_that_fails_leaves_the_old_table(folder: RunFolder) -> None:
    folder.table.write_text("old")
    (folder.table.parent / ".in.csv.tmp").symlink_to("/dev/full")
    past = folder.past()
    with pytest.raises(OSError, match="No space left"):
        write_tables(folder, Plan(), past, ["image_path"], rows(("a.jpg",)), "")
    assert folder.table.read_text() == "old"
    shutil.rmtree(folder.path)
