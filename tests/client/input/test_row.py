"""Promises of file names: no two rows share one, on any disk, whatever their ids hold."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.input.row import name_of

INDICES = st.integers(0, 10**9)
# Odd bytes of a file arrive as surrogates, so those belong to "any text".
IDS = st.none() | st.text(st.characters(), max_size=400)


def folded(name: str) -> str:
    """The form that is equal for all names that are the same on a disk that folds case and Unicode forms."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFD", name).casefold()).casefold()


@given(first=st.tuples(INDICES, IDS), second=st.tuples(INDICES, IDS))
def test_two_rows_never_share_a_name(first: tuple[int, str | None], second: tuple[int, str | None]) -> None:
    if first[0] != second[0]:
        for ending in ("_output.png", "_output_0.png", ""):
            assert folded(name_of(*first) + ending) != folded(name_of(*second) + ending)


@given(index=INDICES, identifier=IDS)
def test_a_name_is_one_short_plain_part_of_a_path(index: int, identifier: str | None) -> None:
    name = name_of(index, identifier)
    assert len(name.encode()) <= 100
    assert not set(name) & set('/\\:*?"<>|. \0')
    assert name.isprintable()
    assert name.startswith(f"{index:05d}")
    assert name == name_of(index, identifier)


def test_without_an_id_a_row_is_called_by_its_index() -> None:
    assert [name_of(index) for index in (0, 7, 99_999, 1_234_567)] == ["00000", "00007", "99999", "1234567"]


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("img_0001", "00007_img_0001"),
        ("Portrait of Ada!", "00007_Portrait-of-Ada"),
        ("../../etc/passwd", "00007_etc-passwd"),
        ("/absolute/a.jpg", "00007_absolute-a-jpg"),
        ("Jos\u0065\u0301", "00007_Jos\u00e9"),
        ("नमस्ते", "00007_नमस्ते"),
        ("CON", "00007_CON"),
        (" \r\n\0", "00007"),
        ("x" * 300, "00007_" + "x" * 80),
        ("é" * 300, "00007_" + "é" * 40),
    ],
)
def test_an_id_stays_readable(identifier: str, name: str) -> None:
    assert name_of(7, identifier) == name
