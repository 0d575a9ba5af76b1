"""Promises of the journal: its records are true wherever it was cut off, and it holds a million rows."""

import random
import resource
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.input.row import Identity
from client.output.journal import DONE, FAILED, PASSING, Journal, Past, read_journals

RECORD = 32
Entry = tuple[Identity, str | None, bool]  # row, cause, whether it is transient
identities = st.builds(Identity, st.integers(0, 50), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
texts = st.text(st.characters(codec=None), max_size=20)
entries = st.lists(st.tuples(identities, st.none() | texts, st.booleans()), min_size=1, max_size=20)


def known_as(text: str) -> Identity:
    return Identity(ord(text) - ord("a"), hash(text) % 2**64, 0)


def write(path: Path, written: list[Entry]) -> None:
    journal = Journal(path)
    for row, cause, passing in written:
        if cause is None:
            journal.done(row, row.key)  # as the mark of its photo
        else:
            journal.failed(row, cause, passing=passing)
    journal.close()


def agrees(past: Past, written: list[Entry]) -> None:
    """`past` holds the last record of each row of `written`, and nothing else."""
    state_of = past.finder()
    last = {entry[0].number: entry for entry in written}
    for number in range(60):
        if number not in last:
            assert (state_of(Identity(number, 0, 0)), past.mark(number)) == (0, 0)
            continue
        row, cause, passing = last[number]
        state = DONE if cause is None else PASSING if passing else FAILED
        assert cause is None or past.cause(number) == cause
        assert past.mark(number) == (row.key if cause is None else 0)
        edited, other = row._replace(content=row.content ^ 1), row._replace(key=row.key ^ 1)
        assert [state_of(one) for one in (row, edited, other)] == [state, 0, 0]
        numbers, keys, contents = (np.array(column) for column in zip(row, edited, other, strict=True))
        assert past.states_of(numbers, keys.astype(np.uint64), contents).tolist() == [state, 0, 0]


@given(written=entries, data=st.data())
def test_any_prefix_of_its_bytes_recovers(
    tmp_path_factory: pytest.TempPathFactory, written: list[Entry], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "000001.1of1.rows"
    write(path, written)
    whole = path.read_bytes()
    assert len(whole) == RECORD * len(written)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    agrees(read_journals(path.parent, marks=True), written[: cut // RECORD])


@given(written=entries, data=st.data())
def test_a_damaged_record_was_never_written(
    tmp_path_factory: pytest.TempPathFactory, written: list[Entry], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "000001.1of1.rows"
    write(path, written)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    agrees(read_journals(path.parent, marks=True), [one for k, one in enumerate(written) if k != place // RECORD])


def test_the_record_of_the_last_session_counts(tmp_path: Path) -> None:
    write(tmp_path / "000001.1of1.rows", [(known_as("a"), "too dark", False), (known_as("b"), None, False)])
    write(tmp_path / "000002.1of2.rows", [(known_as("a"), None, False), (known_as("j"), "no server", True)])
    past = read_journals(tmp_path, marks=True)
    assert list(map(past.finder(), map(known_as, "abj"))) == [DONE, DONE, PASSING]
    assert past.cause(9) == "no server"
    journal = Journal(tmp_path / "000003.1of1.rows")
    journal.gone(1)
    assert list(map(read_journals(tmp_path).finder(), map(known_as, "abj"))) == [DONE, 0, PASSING]


def test_no_journal_is_an_empty_past(tmp_path: Path) -> None:
    assert read_journals(tmp_path / "nowhere").finder()(known_as("a")) == 0


def test_records_carry_the_usual_crc(tmp_path: Path) -> None:
    write(tmp_path / "1.rows", [(Identity(7, 2**64 - 1, 5), None, False)])
    record = (tmp_path / "1.rows").read_bytes()
    assert zlib.crc32(record[:28]) == int.from_bytes(record[28:], "little")


def test_many_blocks_of_records_in_any_order(tmp_path: Path) -> None:
    order = list(range(100_000))
    random.Random(0).shuffle(order)
    journal = Journal(tmp_path / "000001.1of1.rows")
    for index in order:
        journal.done(Identity(index, 3 * index, 0))
    journal.close()
    state_of = read_journals(tmp_path).finder()
    assert all(state_of(Identity(index, 3 * index, 0)) == DONE for index in order)
    assert state_of(Identity(100_000, 300_000, 0)) == 0


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    path = tmp_path / "000001.1of1.rows"
    journal = Journal(path)
    journal.done(known_as("a"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (RECORD + 10, limits[1]))
    try:
        with pytest.raises(OSError, match=r"rows|large"):
            journal.done(known_as("b"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.done(known_as("c"))
    journal.close()
    assert path.stat().st_size == 2 * RECORD
    assert list(map(read_journals(tmp_path).finder(), map(known_as, "abc"))) == [DONE, 0, DONE]
