"""Promises of the numbers: a row keeps its own wherever it moves, equal rows are told apart, no two share one."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.input.identity import Identifier
from client.input.row import Identity
from client.output.journal import DONE, Journal, Past, read_journals
from client.output.numbering import Numbering, _Occurrences

PHOTOS = Identifier(2, (0,), None)  # photo and a note, which changes nothing
IDS = Identifier(2, (0,), 1)
tables = st.lists(st.sampled_from("abcdefghij"), max_size=30)


def journal_of(folder: Path, rows: Sequence[Identity]) -> Past:
    """The past of these rows, done."""
    journal = Journal(folder / f"{len(list(folder.iterdir())):06d}.1of1.rows")
    for row in rows:
        journal.done(row)
    journal.close()
    return read_journals(folder)


def numbered(past: Past, photos: Sequence[str], identify: Identifier = PHOTOS, block: int = 7) -> list[Identity]:
    """What the rows are known by; they are read in blocks, as a source does."""
    numbering = Numbering(past, identify)
    found = []
    for start in range(0, len(photos), block):
        records = [[photo, f"note {start}"] for photo in photos[start : start + block]]
        found += [identity for _, identity in numbering(records)]
    return found


def numbers(rows: Sequence[Identity]) -> list[int]:
    return [row.number for row in rows]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal")


@given(table=tables)
def test_in_a_new_folder_a_rows_number_is_its_index(table: list[str]) -> None:
    assert numbers(numbered(read_journals(Path("nowhere")), table)) == list(range(len(table)))


@given(table=tables, data=st.data())
def test_rows_that_move_keep_their_numbers_and_new_ones_take_what_is_free(
    tmp_path_factory: pytest.TempPathFactory, table: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    first = numbered(read_journals(folder), table)
    done = data.draw(st.lists(st.sampled_from(first), unique=True)) if first else []
    past = journal_of(folder, done)
    assert numbered(past, table) == first, "a run that goes on"
    changed = data.draw(st.permutations([*table, *data.draw(tables)]))
    again = numbered(past, changed)
    assert set(done) <= set(again), "as many equal rows are there as before"
    assert len(set(numbers(again))) == len(again)
    later = journal_of(folder, data.draw(st.lists(st.sampled_from(again), unique=True)) if again else [])
    assert numbered(later, changed) == again, "another process sees what this one has recorded, and numbers as it does"


def test_rows_that_are_gone_are_known_after_the_last_row(folder: Path) -> None:
    past = journal_of(folder, numbered(read_journals(folder), "abca"))
    for table, gone in (("abca", []), ("abc", [3]), ("cba", [3]), ("xca", [1, 3]), ("", [0, 1, 2, 3])):
        numbering = Numbering(past, PHOTOS)
        for photo in table:
            numbering([[photo, ""]])
        assert numbering.gone().tolist() == gone
        assert [number for number in range(4) if numbering.is_gone(number)] == gone
        assert numbering.is_gone(99)


def test_a_row_is_done_again_where_its_photo_changes_under_its_id(folder: Path) -> None:
    def rows(*records: list[str]) -> list[Identity]:
        return [identity for _, identity in Numbering(read_journals(folder), IDS, {DONE})(records)]

    first = rows(["a.jpg", "Ada"], ["b.jpg", "Bob"], ["c.jpg", ""], ["c.jpg", ""])
    journal_of(folder, first)
    assert rows(["c.jpg", ""], ["b.jpg", "Bob"], ["c.jpg", ""], ["a.jpg", " Ada "]) == []
    (edited,) = rows(["b.jpg", "Bob"], ["new.jpg", "Ada"])
    assert (edited.number, edited.key) == (first[0].number, first[0].key)
    assert edited.content != first[0].content


def test_the_overrides_are_part_of_a_row_and_other_columns_are_not() -> None:
    identify = Identifier(3, (0, 2), None)
    one, note, seed, excel, wrong, worse = identify(
        [["a", "x", "1"], ["a", "y", "1"], ["a", "x", "2"], ["a", "x", "1", ""], ["a", "x", "1", "z"], ["a", "x"]]
    )[0].tolist()
    assert one == note == excel
    assert len({one, seed, wrong, worse}) == 4


@given(blocks=st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=9), max_size=60))
def test_equal_keys_are_counted(blocks: list[list[int]]) -> None:
    seen: Counter[int] = Counter()
    counted = _Occurrences(np.zeros(0, np.uint64))
    for block in blocks:
        expected = []
        for key in block:
            expected.append(seen[key])
            seen[key] += 1
        assert counted.count(np.array(block, np.uint64)).tolist() == expected


def test_ten_thousand_equal_rows_and_as_many_different_ones(folder: Path) -> None:
    table = [name for number in range(10_000) for name in ("same.jpg", f"{number}.jpg")]
    past = journal_of(folder, numbered(read_journals(folder), table, block=256))
    moved = numbered(past, ["new.jpg", *table[::-1]], block=256)
    assert moved[0].number == len(table)
    assert sorted(numbers(moved[1:])) == list(range(len(table)))
    assert numbers(moved)[1::2] == list(range(len(table) - 1, 0, -2)), "each photo has the number that it had"
