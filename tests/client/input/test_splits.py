"""Promises of --split: a group is never divided, shares are kept, a row's own split wins. No server."""

import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.errors import RowError, TableError
from client.input.row import Row
from client.input.splits import Shares, Splits, content_digest, parse_splits

SHARES = st.lists(st.floats(0.01, 100), min_size=1, max_size=4).map(
    lambda shares: parse_splits(",".join(f"part{k}={share}" for k, share in enumerate(shares)))
)
GROUPS = st.lists(st.tuples(st.text(max_size=3), st.integers(1, 2**64 - 1)), max_size=30)


@given(shares=SHARES, rows=GROUPS)
def test_no_group_is_in_two_splits(shares: Shares, rows: list[tuple[str, int]]) -> None:
    splitter = Splits(shares, "person").of_table(["image_path", "person"])
    found: dict[str | int, set[str]] = defaultdict(set)
    for index, (person, digest) in enumerate(rows):
        placed = splitter.placed(Row(index, ("a.jpg", f" {person} "), "a.jpg"), digest)
        found[person.strip() or digest].add(placed.split)
        assert splitter.needs_content(placed) == (not person.strip())
    assert all(len(splits) == 1 for splits in found.values())
    assert {split for splits in found.values() for split in splits} <= {name for name, _ in shares}


def test_the_same_photo_is_in_the_same_split_under_every_name_and_shares_are_kept() -> None:
    splitter = Splits(parse_splits("train=9,val=1")).of_table(["image_path"])
    digests = [content_digest(str(number).encode()) for number in range(4000)]
    splits = [splitter.placed(Row(k, (str(k),), str(k)), digest).split for k, digest in enumerate(digests)]
    again = [splitter.placed(Row(0, ("other",), "other"), digest).split for digest in digests]
    assert splits == again
    assert Counter(splits)["val"] == pytest.approx(400, abs=60)


def test_a_rows_own_split_wins() -> None:
    splitter = Splits((("train", 1.0),)).of_table(["image_path", "split"])
    assert splitter.placed(Row(0, ("a", "holdout"), "a"), 5).split == "holdout"
    assert splitter.placed(Row(0, ("a", " "), "a"), 5).split == "train"
    alone = Splits().of_table(["image_path", "split"])
    assert alone.is_used
    assert alone.placed(Row(0, ("a", ""), "a"), 0).split == "train"
    assert not Splits().of_table(["image_path"]).is_used
    for name in ("../up", "journal", "__gallery__", "7", "a b"):
        with pytest.raises(RowError, match="column split must be a name such as train"):
            alone.check(Row(0, ("a", name), "a"))


def test_a_group_needs_its_column_and_shares() -> None:
    with pytest.raises(TableError, match="--group-column needs --split"):
        Splits(group="person").of_table(["image_path", "person"])
    with pytest.raises(TableError, match="the table has no column person for --group-column; the columns found are: a"):
        Splits((("train", 1.0),), "person").of_table(["a"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train", "the share of train must be a number from 0, as in train=0.9,val=0.1, not ''"),
        ("train=-0.1,val=1", "the share of train must be a number from 0"),
        ("train=nan", "the share of train must be a number from 0"),
        ("train=inf", "the share of train must be a number from 0"),
        ("train=0,val=0", "the shares in 'train=0,val=0' must not all be 0"),
        ("train=1,train=2", "must name each split once, as in train=0.9,val=0.1; 'train' is no such name"),
        ("", "'' is no such name"),
        ("a b=1", "'a b' is no such name"),
        ("pieces=1", "'pieces' is no such name"),
    ],
)
def test_shares_that_cannot_be_used_are_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        parse_splits(text)
