"""Promises of the journal: its records are true wherever it was cut off, and it holds a million rows."""

import random
import resource
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.output.journal import DONE, FAILED, PASSING, Journal, Past, checksum, read_journals

RECORD = 24
Entry = tuple[int, tuple[str, ...], str | None, bool]  # index, fields, cause, whether it is transient
texts = st.text(st.characters(codec=None), max_size=20)
entries = st.lists(
    st.tuples(st.integers(0, 50), st.tuples(texts, texts), st.none() | texts, st.booleans()), min_size=1, max_size=20
)


def write(path: Path, written: list[Entry]) -> None:
    journal = Journal(path)
    for index, values, cause, passing in written:
        if cause is None:
            journal.done(index, values)
        else:
            journal.failed(index, values, cause, passing=passing)
    journal.close()


def agrees(past: Past, written: list[Entry]) -> None:
    """`past` holds the last record of each row of `written`, and nothing else."""
    state_of = past.finder()
    last = {index: entry for entry in written for index in [entry[0]]}
    for index in range(60):
        if index not in last:
            assert state_of(index, ("a", "b")) == 0
            continue
        _, values, cause, passing = last[index]
        assert state_of(index, values) == (DONE if cause is None else PASSING if passing else FAILED)
        assert cause is None or past.cause(index) == cause
        assert state_of(index, (*values, "edited")) == 0


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
    agrees(read_journals(path.parent), written[: cut // RECORD])


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
    agrees(read_journals(path.parent), [one for k, one in enumerate(written) if k != place // RECORD])


def test_the_record_of_the_last_session_counts(tmp_path: Path) -> None:
    write(tmp_path / "000001.1of1.rows", [(0, ("a",), "too dark", False), (1, ("b",), None, False)])
    write(tmp_path / "000002.1of2.rows", [(0, ("a",), None, False), (9, ("j",), "gone", True)])
    past = read_journals(tmp_path)
    state_of = past.finder()
    assert [state_of(index, (name,)) for index, name in ((0, "a"), (1, "b"), (9, "j"))] == [DONE, DONE, PASSING]
    assert past.cause(9) == "gone"


def test_no_journal_is_an_empty_past(tmp_path: Path) -> None:
    assert read_journals(tmp_path / "nowhere").finder()(0, ("a",)) == 0


def test_records_carry_the_usual_crc(tmp_path: Path) -> None:
    write(tmp_path / "1.rows", [(7, ("a", "b"), None, False)])
    record = (tmp_path / "1.rows").read_bytes()
    assert zlib.crc32(record[:20]) == int.from_bytes(record[20:], "little")
    assert checksum(("a", "b")) == zlib.crc32(b"a\x1fb")


def test_many_blocks_of_records_in_any_order(tmp_path: Path) -> None:
    order = list(range(100_000))
    random.Random(0).shuffle(order)
    journal = Journal(tmp_path / "000001.1of1.rows")
    for index in order:
        journal.done(index, (str(index),))
    journal.close()
    state_of = read_journals(tmp_path).finder()
    assert all(state_of(index, (str(index),)) == DONE for index in order)
    assert state_of(100_000, ("100000",)) == 0


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    path = tmp_path / "000001.1of1.rows"
    journal = Journal(path)
    journal.done(0, ("a",))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (RECORD + 10, limits[1]))
    try:
        with pytest.raises(OSError, match=r"rows|large"):
            journal.done(1, ("b",))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    journal.done(2, ("c",))
    journal.close()
    assert path.stat().st_size == 2 * RECORD
    state_of = read_journals(tmp_path).finder()
    assert [state_of(index, (name,)) for index, name in enumerate("abc")] == [DONE, 0, DONE]
