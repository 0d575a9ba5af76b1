"""Promises of --duplicates: the first of several rows with one photo and the same columns stays. No server."""

from collections.abc import Sequence
from pathlib import Path

from client.input.duplicates import Repeats, find_duplicates
from client.input.row import Row
from client.input.splits import content_digest


def rows(*values: Sequence[str]) -> list[Row]:
    return [Row(index, tuple(one), one[0]) for index, one in enumerate(values)]


def test_the_first_row_stays_and_other_columns_make_another_picture(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one"), ("long", b"three")):
        (tmp_path / name).write_bytes(content)
    table = rows(
        ("b", ""), ("a", ""), ("c", ""), ("gone", ""), ("c", "window"), ("a", "window"), ("long", ""), ("b", " ")
    )
    assert find_duplicates(lambda: table, str(tmp_path), [1], 1.0) == {2: 1, 5: 4, 7: 0}


def test_repeats_are_said_with_the_first_few_rows() -> None:
    repeats = Repeats([])
    for row in rows(*[("a",)] * 9):
        repeats.add(row, 0 if row.index == 1 else content_digest(b"ab"[row.index % 2 : row.index % 2 + 1]))
    assert repeats.words() == (
        "warning: 6 rows have the photo of an earlier one (row 3 that of row 1, row 5 that of row 1, row 6 that of "
        "row 4, row 7 that of row 1, row 8 that of row 4, …); --duplicates skip leaves them out"
    )
    assert Repeats([]).words() == ""
