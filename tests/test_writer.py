"""Promises of the writer: whole files, the same bytes every time, rows in the input's order."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.writer import OutputTable, Plan, parse_format, parse_pictures, write_row


def lines(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_files_are_named_by_the_row_and_the_light() -> None:
    one, two = Plan(format="jpeg", quality=92), Plan(format="jpeg", variants=2)
    assert one.file_names(7, "output") == ["00007_output.jpg"]
    assert two.file_names(7, "output") == ["00007_output_0.jpg", "00007_output_1.jpg"]
    assert two.file_names(7, "albedo") == ["00007_albedo.jpg"]
    assert one.file_names(123456, "mask") == ["123456_mask.png"], "a mask is always png"
    assert one.request() == "output,albedo,mask;jpeg:92"


def test_files_are_asked_for_in_any_order() -> None:
    assert parse_pictures("mask, output,mask") == ("output", "mask")
    assert parse_format("png") == ("png", None)
    assert parse_format("webp:80") == ("webp", 80)


@pytest.mark.parametrize("text", ["", ",", "output,shading"])
def test_unknown_files_are_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match="choose from output, degraded, albedo"):
        parse_pictures(text)


@pytest.mark.parametrize("text", ["gif", "png:9", "jpeg:", "jpeg:0", "jpeg:101", "webp:high"])
def test_unknown_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"choose png|from 1 to 100"):
        parse_format(text)


def test_a_row_is_its_pictures_and_its_metadata_and_nothing_else(tmp_path: Path) -> None:
    plan = Plan(("output", "mask"), variants=2)
    pictures = {"output": [b"first", b"second"], "mask": [b"mask"]}
    leading = write_row(tmp_path, 3, plan, pictures, {"score": 0.5})
    assert leading == ["00003_output_0.png", "00003_output_1.png"]
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == {
        "00003_output_0.png": b"first",
        "00003_output_1.png": b"second",
        "00003_mask.png": b"mask",
    }
    metadata = json.loads((tmp_path / "00003_metadata.json").read_text())
    assert metadata["score"] == 0.5
    assert metadata["files"] == {"output": leading, "mask": ["00003_mask.png"]}
    assert len(list(tmp_path.iterdir())) == 4, "no temporary file stays"


def test_metadata_has_the_same_bytes_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    plan, written = Plan(("mask",)), []
    for metadata in ({"a": 1, "b": 2}, {"b": 2, "a": 1}):
        write_row(tmp_path, 0, plan, {"mask": [b"mask"]}, metadata)
        written.append((tmp_path / "00000_metadata.json").read_bytes())
    assert written[0] == written[1]


def test_metadata_comes_last(tmp_path: Path) -> None:
    (tmp_path / "00000_mask.png").mkdir()  # no file can take this name
    with pytest.raises(OSError, match="directory"):
        write_row(tmp_path, 0, Plan(), {"output": [b"o"], "albedo": [b"a"], "mask": [b"m"]}, {})
    assert (tmp_path / "00000_albedo.png").read_bytes() == b"a"
    assert not (tmp_path / "00000_metadata.json").exists()


@given(order=st.permutations(range(6)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_finish_in_any_order_and_are_written_in_the_inputs(tmp_path: Path, order: list[int]) -> None:
    table = OutputTable(tmp_path / "out.csv", ["image_path"])
    let_through = [table.add(i, [f"{i}.jpg"], [f"out/{i}.png"], "") for i in order]
    assert sum(let_through) == 6
    table.close()
    assert lines(table.path) == [
        ["image_path", "output_image_path", "error"],
        *([f"{i}.jpg", f"out/{i}.png", ""] for i in range(6)),
    ]


def test_what_is_finished_is_on_disk_before_the_end(tmp_path: Path) -> None:
    table = OutputTable(tmp_path / "out.csv", ["image_path"])
    table.add(0, ["a.jpg"], ["out/a.png"], "")
    table.add(2, ["c.jpg"], ["out/c.png"], "")
    assert [line[0] for line in lines(table.path)] == ["image_path", "a.jpg"]
    table.close()
    assert [line[0] for line in lines(table.path)] == ["image_path", "a.jpg", "c.jpg"]


def test_columns_pass_through_and_old_results_are_replaced(tmp_path: Path) -> None:
    columns = ["error", "image_path", "output_image_path", "lighting, score"]
    table = OutputTable(tmp_path / "out.csv", columns)
    table.add(0, ["old", "a.jpg", "old", "1,5"], ["out/a_0.png", "out/a_1.png"], "")
    table.add(1, ["old", "b.jpg", "old", ""], [], 'it is "damaged"')
    table.close()
    assert lines(table.path) == [
        ["image_path", "lighting, score", "output_image_path", "error"],
        ["a.jpg", "1,5", "out/a_0.png", ""],
        ["a.jpg", "1,5", "out/a_1.png", ""],
        ["b.jpg", "", "", 'it is "damaged"'],
    ]
