"""Promises of the writers: complete files, the same bytes every time, samples in order in their tars."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.input.row import Row
from client.light.light import light_of, source_of
from client.output.files import Files, row_files, write_whole, writer_of
from client.output.pieces import Pieces, pack_pieces, packed_files, packed_records, waiting_numbers
from client.output.plan import PACKED, Plan
from client.output.records import Records

PICTURES = {"output": [b"first", b"second"], "mask": [b"mask"]}


LIGHT = light_of(None, [source_of("key", {})], {}).named()


def row(index: int) -> Row:
    return Row(index, ("a.jpg",), "a.jpg")


def records(plan: Plan) -> Records:
    return Records(plan, ["image_path"])


def test_a_row_is_its_pictures_and_its_metadata_and_nothing_else(tmp_path: Path) -> None:
    plan = Plan(("output", "mask"), variants=2)
    Files(tmp_path, plan).write(row(3), row_files(row(3), records(plan), PICTURES, {"score": 0.5}))
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    metadata = json.loads(written.pop("00003_metadata.json"))
    assert written == {
        "00003_output_0.png": b"first",
        "00003_output_1.png": b"second",
        "00003_mask.png": b"mask",
    }
    assert (metadata["score"], metadata["schema"]) == (0.5, "relight-metadata/2")
    assert metadata["values"] == {"output": "sRGB, 8 bit", "mask": "255 is the person, 8 bit"}
    assert sorted(name for names in metadata["files"].values() for name in names) == sorted(written)


def test_sharded_files_are_in_folders_of_a_thousand_rows(tmp_path: Path) -> None:
    plan = Plan(("mask",), layout="sharded")
    writer = Files(tmp_path, plan)
    for index in (999, 1000):
        writer.write(row(index), row_files(row(index), records(plan), {"mask": [b"m"]}, {}))
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*_mask.png")) == [
        "00000/00999_mask.png",
        "00001/01000_mask.png",
    ]


def test_the_null_writer_writes_nothing(tmp_path: Path) -> None:
    plan = Plan(("mask",), dataset="null")
    writer_of(tmp_path, records(plan)).write(row(0), row_files(row(0), records(plan), {"mask": [b"m"]}, {}))
    assert not list(tmp_path.iterdir())


def test_metadata_has_the_same_bytes_whatever_the_order_of_its_keys() -> None:
    one, other = (
        row_files(row(0), records(Plan(("mask",))), {"mask": [b"m"]}, metadata)["00000_metadata.json"]
        for metadata in ({"a": 1, "b": {"x": 1, "y": 2}}, {"b": {"y": 2, "x": 1}, "a": 1})
    )
    assert one == other
    assert bytes(one).count(b"\n") == 7, "a line for each key"


def test_metadata_comes_last(tmp_path: Path) -> None:
    (tmp_path / "00000_mask.png").mkdir()  # no file can take this name
    plan, pictures = Plan(("output", "albedo", "mask")), {"output": [b"o"], "albedo": [b"a"], "mask": [b"m"]}
    with pytest.raises(OSError, match="directory"):
        Files(tmp_path, plan).write(row(0), row_files(row(0), records(plan), pictures, {}))
    assert (tmp_path / "00000_albedo.png").read_bytes() == b"a"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "00000_albedo.png",
        "00000_mask.png",
        "00000_output.png",
    ]


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    (tmp_path / ".a.png.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.png'"):
        write_whole(tmp_path / "a.png", b"new")
    assert (tmp_path / "a.png").read_bytes() == b"old"


def write_rows(
    folder: Path, order: list[int], rows_per_tar: int, last: int | None = None, dataset: str = "webdataset"
) -> None:
    """Write rows in this order and join what is left, as a run does; then the row `last` in a second run."""
    made = records(Plan(("mask",), dataset=dataset, rows_per_tar=rows_per_tar))
    for session in (order, [] if last is None else [last]):
        pieces = Pieces(folder, made)
        for index in session:
            content, metadata = {"mask": [str(index).encode() * 1000]}, {"lights": [LIGHT], "score": index / 8}
            pieces.write(row(index), row_files(row(index), made, content, metadata))
            pieces.finished(row(index))
        for number in waiting_numbers(folder):
            pack_pieces(folder, made, number)


@pytest.mark.parametrize(("dataset", "suffix"), PACKED.items())
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(7)), late=st.booleans())
def test_packed_files_have_the_same_bytes_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, dataset: str, suffix: str, order: list[int], late: bool
) -> None:
    straight, mixed = tmp_path_factory.mktemp("straight"), tmp_path_factory.mktemp("mixed")
    write_rows(straight, list(range(7)), 3, dataset=dataset)
    write_rows(mixed, order[:-1] if late else order, 3, order[-1] if late else None, dataset)
    for number in range(3):
        name = f"{number:05d}{suffix}"
        assert (mixed / name).read_bytes() == (straight / name).read_bytes()


def test_a_tar_holds_a_sample_for_each_row_in_order(tmp_path: Path) -> None:
    write_rows(tmp_path, [4, 3, 5, 1], 3)
    with tarfile.open(tmp_path / "00001.tar") as tar:
        members = {member.name: tar.extractfile(member) for member in tar}
        assert list(members) == [f"0000{k}_0.{kind}" for k in (3, 4, 5) for kind in ("mask.png", "json")]
        mask = members["00004_0.mask.png"]
        assert mask is not None
        assert mask.read() == b"4" * 1000
        assert all(member.mtime == 0 for member in tar)
    assert not list((tmp_path / "pieces").iterdir())


@pytest.mark.parametrize(("dataset", "suffix"), PACKED.items())
def test_a_row_whose_split_has_changed_leaves_its_old_file(tmp_path: Path, dataset: str, suffix: str) -> None:
    made = records(Plan(("mask",), dataset=dataset, rows_per_tar=4))
    for splits in (("train", "train", "val"), ("val",)):
        for index, split in enumerate(splits):
            placed = replace(row(index), split=split)
            files = row_files(placed, made, {"mask": [split.encode()]}, {"lights": [LIGHT]})
            Pieces(tmp_path, made).write(placed, files)
        pack_pieces(tmp_path, made, 0)
    assert [str(path.relative_to(tmp_path)) for path in packed_files(tmp_path)] == [
        f"{split}/00000{suffix}" for split in ("train", "val")
    ]
    found = [(record["key"], record["split"]) for record in packed_records(packed_files(tmp_path), made.plan)]
    assert found == [("00001_0", "train"), ("00000_0", "val"), ("00002_0", "val")]
