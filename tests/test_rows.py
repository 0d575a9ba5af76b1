"""Promises of the reader: any sane CSV is read as it is, a bad row costs only itself."""

import asyncio
import csv
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.rows import (
    Row,
    RowError,
    RowQueue,
    Table,
    TableError,
    count_rows,
    find_image,
    read_image,
    read_table,
)

FIELDS = st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=6)


def table_of(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode())
    return path


@given(fields=FIELDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path: Path, fields: list[tuple[str, str]]) -> None:
    path = tmp_path / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("note", "image_path"), *fields])
    rows = list(read_table(path).rows)
    assert [row.values for row in rows] == fields
    assert [row.image_path for row in rows] == [image_path for _, image_path in fields]
    assert count_rows(path) == len(fields)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, mark: str) -> None:
    table = read_table(table_of(tmp_path, f"{mark}image_path,score\na.jpg,0.5\n"))
    assert table.columns == ("image_path", "score")
    assert next(table.rows) == Row(0, ("a.jpg", "0.5"), "a.jpg")


def test_rows_with_too_few_or_too_many_fields_fail_alone(tmp_path: Path) -> None:
    text = "image_path,score\na.jpg,1\nb.jpg\nc.jpg,2,3\nd.jpg,4\n"
    rows = list(read_table(table_of(tmp_path, text)).rows)
    assert [row.error is None for row in rows] == [True, False, False, True]
    assert "1 fields where the header names 2" in str(rows[1].error)
    assert str(rows[2]) == "row 3 (c.jpg)"
    assert [len(row.values) for row in rows] == [2, 2, 2, 2]


def test_a_row_without_a_path_says_so(tmp_path: Path) -> None:
    (row,) = read_table(table_of(tmp_path, "image_path,score\n,1\n")).rows
    assert "image_path is empty" in str(row.error)


def test_a_field_beyond_all_measure_costs_only_its_row(tmp_path: Path) -> None:
    text = f"image_path,note\na.jpg,{'x' * 200_000}\nb.jpg,short\n"
    first, second = read_table(table_of(tmp_path, text)).rows
    assert "check its quotes" in str(first.error)
    assert (second.index, second.image_path, second.error) == (1, "b.jpg", None)


def test_blank_lines_do_not_count(tmp_path: Path) -> None:
    path = table_of(tmp_path, "\nimage_path\n\na.jpg\n  \r\nb.jpg\n\n")
    assert [(row.index, row.image_path) for row in read_table(path).rows] == [
        (0, "a.jpg"),
        (1, "b.jpg"),
    ]
    assert count_rows(path) == 2


def test_a_missing_column_names_the_columns_found(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"columns found are: path, score.*Rename"):
        read_table(table_of(tmp_path, "path,score\na.jpg,1\n"))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_no_table(tmp_path: Path, text: str) -> None:
    with pytest.raises(TableError, match="no header"):
        read_table(table_of(tmp_path, text))


def test_a_csv_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nowhere\.csv.*check --csv"):
        read_table(tmp_path / "nowhere.csv")


def test_file_names_that_are_not_utf8_still_open(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    (tmp_path / os.fsdecode(name)).write_bytes(b"photo")
    (tmp_path / "latin.csv").write_bytes(b"image_path\n" + name + b"\n")
    (row,) = read_table(tmp_path / "latin.csv").rows
    assert read_image(row.image_path, tmp_path) == b"photo"


def test_paths_start_at_the_csv_then_at_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    beside.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "a.jpg").touch()
    assert find_image("a.jpg", beside) == here / "a.jpg"
    (beside / "a.jpg").touch()
    assert find_image("a.jpg", beside) == beside / "a.jpg"
    with pytest.raises(RowError) as missing:
        find_image("b.jpg", beside)
    assert str(beside / "b.jpg") in str(missing.value)
    assert str(here / "b.jpg") in str(missing.value)


def test_an_empty_photo_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(RowError, match="is empty"):
        read_image("a.jpg", tmp_path)


def test_a_pipe_is_read_but_not_counted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert count_rows(tmp_path / "pipe") is None


def test_the_reader_stays_near_the_oldest_unfinished_row() -> None:
    taken: list[int] = []

    def endless() -> Generator[Row, None, None]:
        while True:
            taken.append(len(taken))
            yield Row(taken[-1], (), "a.jpg")

    async def read() -> None:
        queue = RowQueue(Table((), endless()), span=3)
        for index in range(3):
            row = await queue.next()
            assert row is not None
            assert row.index == index
        assert len(taken) <= 4  # one more waits in the reader's hand
        queue.finished(1)
        assert (await queue.next()) == Row(3, (), "a.jpg")
        queue.end()
        assert await queue.next() is None
        assert await queue.next() is None

    asyncio.run(read())


def test_the_limit_ends_the_rows() -> None:
    def some() -> Generator[Row, None, None]:
        for index in range(5):
            yield Row(index, (), "a.jpg")

    async def read() -> list[int]:
        queue = RowQueue(Table((), some()), span=9, limit=2)
        indices = []
        while (row := await queue.next()) is not None:
            indices.append(row.index)
        return indices

    assert asyncio.run(read()) == [0, 1]


def test_a_name_too_long_for_any_folder_fails_its_row_alone(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="cannot be read"):
        find_image("y" * 10_000, tmp_path)
