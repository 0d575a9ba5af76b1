"""Promises of the CSV reader: a quote that is not closed costs one row, and Excel's empty cells cost none."""

import tracemalloc
from collections.abc import Iterator
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest

from client.errors import RowError, TableError
from client.input.csv_file import Record, read_csv
from client.input.source import Source

HEADER = "image_path,note\n"
UNCLOSED = "opens a quote that is not closed"


def read(text: str) -> Iterator[Record]:
    return read_csv(BufferedReader(BytesIO(text.encode())), "table.csv")[1]


def records_of(text: str) -> list[Record]:
    return list(read(text))


def outcome(text: str) -> list[str]:
    """The photos of the rows, and the lines in which quotes are not closed."""
    shown = []
    for record in records_of(text):
        if isinstance(record, RowError):
            assert UNCLOSED in str(record)
            shown.append(" ".join(str(record).split()[:2]))
        else:
            shown.append(record[0])
    return shown


@pytest.mark.parametrize(
    "text",
    [
        'a.jpg,"x\nb.jpg,y\nc.jpg,z\n',  # to the end of the file
        'a.jpg,"x\nb.jpg,y\nc.jpg,z',
        'a.jpg,"x\nb.jpg,y\nc.jpg,"fine"\n',  # to the next field in quotes
        'a.jpg,"x\nb.jpg,y\nc.jpg,z"\n',  # to a quote that could close it
        '"a.jpg,x\nb.jpg,y\nc.jpg,z"\n',
        'a.jpg,"x\nb.jpg,""\nc.jpg,""\n',
    ],
)
def test_a_quote_that_is_not_closed_costs_its_own_row_alone(text: str) -> None:
    assert outcome(HEADER + text)[:2] == ["line 2", "b.jpg"]
    assert outcome(HEADER + text)[2] in ("c.jpg", "line 4"), "the last line may have an open quote of its own"
    assert outcome(f"{HEADER}0.jpg,\n{text}")[:3] == ["0.jpg", "line 3", "b.jpg"]


def test_each_row_after_an_open_quote_is_read_once_however_many_there_are() -> None:
    assert outcome(HEADER + "".join(f'{number}.jpg,"x\n{number}.png,\n' for number in range(300))) == [
        part for number in range(300) for part in (f"line {2 + 2 * number}", f"{number}.png")
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('"two\nlines"', "two\nlines"),
        ('"see\nother, and more"', "see\nother, and more"),
        ('"he said ""b.jpg,y""\r\nand left"', 'he said "b.jpg,y"\r\nand left'),
        ('"5" tall', "5 tall"),  # no correct CSV, but clear
        ('5" tall', '5" tall'),
    ],
)
def test_a_field_in_quotes_may_span_lines_and_hold_anything(field: str, value: str) -> None:
    assert records_of(f"{HEADER}a.jpg,{field}\nb.jpg,y\n") == [["a.jpg", value], ["b.jpg", "y"]]


def test_a_photos_name_may_hold_a_line_break() -> None:
    assert records_of('image_path\n"a\nb.jpg"\n') == [["a\nb.jpg"]]


def test_a_million_bytes_behind_an_open_quote_cost_no_memory() -> None:
    records = read(HEADER + 'a.jpg,"x\n' + "b.jpg,y\n" * 200_000)
    tracemalloc.start()
    try:
        assert sum(1 for record in records if not isinstance(record, RowError)) == 200_000
        assert tracemalloc.get_traced_memory()[1] < 4e6  # csv's limit of a field, as lines
    finally:
        tracemalloc.stop()


def test_an_open_quote_in_the_header_is_named() -> None:
    with pytest.raises(TableError, match=rf"no header row \(line 1 of the CSV {UNCLOSED}"):
        read('image_path,"note\na.jpg,x\n')


def test_excels_empty_cells_are_no_columns_and_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbfimage_path,note,,\r\na.jpg,x,,\r\n,,,\r\nb.jpg,,,\r\n,,,\r\nc.jpg,x,y,\r\n")
    source = Source(str(path))
    assert source.columns == ("image_path", "note")
    first, second, third = source.rows()
    assert (first.values, first.error, second.values, second.error) == (("a.jpg", "x"), None, ("b.jpg", ""), None)
    assert "4 fields but the header names 2 columns" in str(third.error)
    assert Source(str(path)).count() == 3
