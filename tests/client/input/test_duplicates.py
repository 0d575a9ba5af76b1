"""Promises of --duplicates: the first of several rows with one photo and the same columns stays. No server."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from client.input.duplicates import find_duplicates, repeated
from client.input.row import Row


def rows(*values: Sequence[str]) -> list[Row]:
    return [Row(index, tuple(one), one[0]) for index, one in enumerate(values)]


def test_the_first_row_stays_and_other_columns_make_another_picture(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one"), ("long", b"three")):
        (tmp_path / name).write_bytes(content)
    table = rows(
        ("b", ""), ("a", ""), ("c", ""), ("gone", ""), ("c", "window"), ("a", "window"), ("long", ""), ("b", " ")
    )
    assert find_duplicates(lambda: table, str(tmp_path), [1], 1.0) == {2: 1, 5: 4, 7: 0}


@given(marks=st.lists(st.integers(0, 3) | st.integers(0, 2**64 - 1), max_size=40))
def test_every_repeated_mark_is_counted_once(marks: list[int]) -> None:
    known = [mark for mark in marks if mark]
    words = repeated(np.array(marks, np.uint64), np.ones(len(marks), np.bool_))
    repeats = len(known) - len(set(known))
    assert words.startswith(f"warning: {repeats} rows repeat the photo of another: " if repeats else "")
    assert bool(words) == bool(repeats)


def test_repeats_are_said_with_the_first_few() -> None:
    marks = np.array([5, 0, 5, 7, 5, 7, 0, 5, 7, 5], np.uint64)
    wanted = np.array([True] * 8 + [False, True])
    assert repeated(marks, wanted) == (
        "warning: 5 rows repeat the photo of another: 00002 has that of 00000, 00004 has that of 00000, "
        "00005 has that of 00003, 00007 has that of 00000, 00009 has that of 00000; --duplicates skip leaves them out"
    )
