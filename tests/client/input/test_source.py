"""Promises of the reader: any valid table, folder or glob is read as it is, and a bad row fails alone."""

import csv
import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from client.errors import TableError
from client.input.row import Row, Shard
from client.input.source import Source, parse_shard, stem_of

# Written by Python's csv: any text except half of a surrogate pair, which no UTF-8 file can hold.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ANY_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)


def table_of(folder: Path, text: str, name: str = "table.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode())
    return str(path)


def rows_of(text: str, **options: int | Shard | str | None) -> list[Row]:
    return list(Source(text, **options).rows())  # type: ignore[arg-type]


@given(fields=st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=6))
@ANY_FOLDER
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path: Path, fields: list[tuple[str, str]]) -> None:
    if sys.version_info < (3, 11):  # whose csv module refuses it
        fields = [(a.replace("\0", ""), b.replace("\0", "")) for a, b in fields]
    path = tmp_path / "any.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("note", "image_path"), *fields])
    rows = [row for row in rows_of(str(path)) if row.error is None or "empty" in row.error]
    # csv.writer itself cannot tell a line of one blank field from a blank line; here there are two fields.
    assert [row.values for row in rows] == fields
    assert [row.image_path for row in rows] == [image_path for _, image_path in fields]
    assert Source(str(path)).count() == len(fields)


@given(content=st.binary(max_size=300), header=st.booleans())
@example(content=b'"\x00', header=True)
@example(content=b"\x1f\x8b\x08", header=False)
@example(content=b"PAR1", header=False)
@ANY_FOLDER
def test_no_bytes_crash_the_reader(tmp_path: Path, content: bytes, header: bool) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(b"image_path,a\n" * header + content)
    refusals = []
    try:
        for row in rows_of(str(path)):
            assert row.error or row.values[0] == row.image_path
            assert len(f"{row}: {row.error}".splitlines()) == 1
    except TableError as error:
        refusals = [str(error)]
    assert all(str(path) in sentence for sentence in refusals)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, mark: str) -> None:
    source = Source(table_of(tmp_path, f"{mark}image_path,score\na.jpg,0.5\n"))
    assert source.columns == ("image_path", "score")
    assert next(source.rows()) == Row(0, ("a.jpg", "0.5"), "a.jpg")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "excel.csv").write_bytes("image_path\na.jpg\n".encode(encoding))
    with pytest.raises(TableError, match=r"is UTF-16; save it as UTF-8"):
        Source(str(tmp_path / "excel.csv"))


def test_rows_with_too_few_or_too_many_fields_fail_alone(tmp_path: Path) -> None:
    rows = rows_of(table_of(tmp_path, "image_path,score\na.jpg,1\nb.jpg\nc.jpg,2,3\nd.jpg,4\n"))
    assert [row.error is None for row in rows] == [True, False, False, True]
    assert "1 fields but the header names 2" in str(rows[1].error)
    assert str(rows[2]) == "row 3 (c.jpg)"
    assert [len(row.values) for row in rows] == [2, 2, 2, 2]


def test_a_row_without_a_path_says_so(tmp_path: Path) -> None:
    (row,) = rows_of(table_of(tmp_path, "image_path,score\n,1\n"))
    assert "image_path is empty" in str(row.error)
    assert str(row) == "row 1 (no photo)"


def test_a_row_is_shown_on_one_line_whatever_its_path_holds() -> None:
    assert str(Row(0, (), "a\nb\x1b[2J\udce9.jpg")) == r"row 1 (a\nb\x1b[2J\udce9.jpg)"
    assert len(str(Row(0, (), "y" * 10_000))) < 250


def test_a_field_that_is_too_long_fails_only_its_row(tmp_path: Path) -> None:
    first, second = rows_of(table_of(tmp_path, f"image_path,note\na.jpg,{'x' * 200_000}\nb.jpg,short\n"))
    assert "check its quotes" in str(first.error)
    assert (second.index, second.image_path, second.error) == (1, "b.jpg", None)


def test_blank_lines_do_not_count_and_duplicate_paths_do(tmp_path: Path) -> None:
    path = table_of(tmp_path, "\nimage_path\n\na.jpg\n  \r\nb.jpg\n\na.jpg\n")
    assert [(row.index, row.image_path) for row in rows_of(path)] == [(0, "a.jpg"), (1, "b.jpg"), (2, "a.jpg")]
    assert Source(path).count() == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,score\na.jpg,1\n", r"no column image_path; the columns found are: path, score.*Rename"),
        ("image_path,image_path \na,b\n", r"2 columns image_path; rename all but one"),
        ("", "no header"),
        ("\n\n", "no header"),
    ],
)
def test_a_table_without_its_one_column_of_photos_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(TableError, match=sentence):
        Source(table_of(tmp_path, text))


@pytest.mark.parametrize("name", ["nowhere.csv", "y" * 10_000, "nul\0.csv"])
def test_a_table_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TableError, match=r"cannot be opened \(.*check --csv"):
        Source(str(tmp_path / name))


def test_the_output_is_called_after_the_input(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "a.jpg").touch()
    table = table_of(tmp_path, "image_path\n", "val.images.csv")
    (tmp_path / "val_images.csv.gz").write_bytes(gzip.compress(b"image_path\n"))
    texts = (table, tmp_path / "val_images.csv.gz", tmp_path / "faces", tmp_path / "faces" / "*.jpg")
    assert [stem_of(str(text)) for text in texts] == ["val.images", "val_images", "faces", "faces"]


def test_a_gzipped_table_is_read_and_a_broken_one_ends_where_it_breaks(tmp_path: Path) -> None:
    lines = "".join(f"{index:06d}-{os.urandom(8).hex()}.jpg\n" for index in range(5_000))
    whole = gzip.compress(f"image_path\n{lines}".encode())
    path = tmp_path / "table.csv.gz"
    path.write_bytes(whole)
    assert len(rows_of(str(path))) == Source(str(path)).count() == 5_000
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TableError, match=r"cannot be read after line \d+ \(.*copy it again"):
        rows_of(str(path))


def test_a_table_comes_through_stdin(tmp_path: Path) -> None:
    program = (
        "from client.input.source import Source, stem_of\n"
        "source = Source('-', limit=2)\n"
        "print(source.count(), stem_of('-'), *([row.image_path for row in source.rows()] for _ in range(2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=b"image_path\na\nb\nc\n", capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "None stdin ['a', 'b'] ['a', 'b']", "a pipe can be read again"


def test_a_pipe_is_read_but_not_counted(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=("image_path\na\n",), daemon=True).start()
    source = Source(str(pipe))
    assert source.count() is None
    assert [[row.image_path for row in source.rows()] for _ in range(2)] == [["a"], ["a"]]


def test_parquet_holds_what_a_csv_would(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    columns = {
        "id": pa.array([1, None], pa.int64()),
        "image_path": ["a.jpg", "b.jpg"],
        "ambient": pa.array([0.3, 1.0], pa.float32()),
        "light_color": [[1.0, 0.5, 0.25], None],
        "kind": pa.array(["x", "y"]).dictionary_encode(),
        "raw": pa.array([b"caf\xe9", None], pa.binary()),
    }
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=1)
    source = Source(str(path))
    assert source.columns == tuple(columns)
    assert [row.values for row in source.rows()] == [
        ("1", "a.jpg", "0.3", "[1.0, 0.5, 0.25]", "x", "caf\udce9"),
        ("", "b.jpg", "1", "", "y", ""),
    ]
    assert Source(str(path)).count() == 2


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"the Parquet file .*broken\.parquet cannot be read"):
        Source(table_of(tmp_path, "PAR1 and no more", "broken.parquet"))


@given(count=st.integers(1, 5), again=st.integers(1, 5), limit=st.none() | st.integers(1, 30))
@ANY_FOLDER
def test_shards_share_every_row_and_never_change_it(tmp_path: Path, count: int, again: int, limit: int | None) -> None:
    lines = "".join(f"{index}.jpg,{index % 3}\n" for index in range(20))
    path = table_of(tmp_path, f"image_path,id\n{lines}")

    def cut(shards: int) -> list[list[Row]]:
        return [rows_of(path, limit=limit, shard=Shard(i, shards), id_column="id") for i in range(1, shards + 1)]

    whole = rows_of(path, limit=limit, id_column="id")
    assert len(whole) == min(20, limit or 20)
    for shards in (cut(count), cut(again)):
        assert sorted((row for rows in shards for row in rows), key=lambda row: row.index) == whole
    assert [len(rows) for rows in cut(count)] == [
        Source(path, limit=limit, shard=Shard(i, count)).count() for i in range(1, count + 1)
    ]
    assert len({row.name for row in whole}) == len(whole)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1/0"])
def test_a_shard_is_one_of_so_many(text: str) -> None:
    assert parse_shard("2/8") == Shard(2, 8)
    with pytest.raises(ValueError, match="must be i/n"):
        parse_shard(text)


def test_rows_that_are_skipped_keep_their_place(tmp_path: Path) -> None:
    path = table_of(tmp_path, "image_path\na\nb\nc\nd\n")
    assert [row.index for row in Source(path).rows(lambda records: ((1, None), (3, None)))] == [1, 3]


def test_an_id_names_the_files_and_must_be_a_column(tmp_path: Path) -> None:
    path = table_of(tmp_path, "who,image_path\nAda L.,a.jpg\n")
    assert [row.name for row in rows_of(path, id_column="who")] == ["00000_Ada-L"]
    assert [row.name for row in rows_of(path)] == ["00000"]
    with pytest.raises(TableError, match="no column name; the columns found are: who, image_path"):
        Source(path, id_column="name")


def test_the_identity_changes_with_the_place_and_the_columns_only(tmp_path: Path) -> None:
    def identity(text: str, name: str) -> str:
        return Source(table_of(tmp_path, text, name)).identity

    first = identity("image_path,a\nx,1\n", "one.csv")
    assert first == identity("image_path,a\nx,1\ny,2\n", "one.csv")
    assert first != identity("image_path,b\nx,1\n", "one.csv")
    assert first != identity("image_path,a\nx,1\n", "two.csv")


def test_the_keys_in_a_url_are_no_part_of_the_identity() -> None:
    fsspec.filesystem("memory").pipe("/set/list.csv?key=secret", b"image_path\n")
    url = "memory://set/list.csv?key=secret"
    assert (Source(url).identity, stem_of(url)) == ("csv memory://set/list.csv image_path", "list")
