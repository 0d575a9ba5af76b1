"""Promises of the plan: which files a row gets, their names and their places. No server."""

import pytest

from client.input.row import Row
from client.output.plan import Plan, parse_files, parse_format, parse_pictures
from contract.names import PICTURES


def row(index: int, image_path: str = "a/photo.JPG", identifier: str | None = None) -> Row:
    return Row(index, (image_path,), image_path, None, identifier)


def test_files_are_named_by_the_row_and_the_light() -> None:
    one, two = Plan(format="jpeg", quality=92), Plan(format="jpeg", variants=2)
    assert one.file_names(row(7))["output"] == ["00007_output.jpg"]
    assert two.file_names(row(7))["output"] == ["00007_output_0.jpg", "00007_output_1.jpg"]
    assert two.file_names(row(7))["albedo"] == ["00007_albedo.jpg"]
    assert one.file_names(row(123456, identifier="Ada"))["mask"] == ["123456_Ada_mask.png"], "a mask is always png"
    assert one.request() == "output,albedo,mask;jpeg:92"


def test_the_input_keeps_its_own_suffix() -> None:
    plan = Plan(keep_input=True)
    assert plan.file_names(row(0))["input"] == ["00000_input.jpg"]
    assert plan.file_names(row(0, "s3://bucket/a.webp"))["input"] == ["00000_input.webp"]
    assert plan.file_names(row(0, "https://x.org/a.png?size=1.5"))["input"] == ["00000_input.png"]
    assert plan.file_names(row(0, "folder.d/photo"))["input"] == ["00000_input"]
    assert "input" not in plan.request()


def test_rows_go_to_folders_or_tars_of_so_many() -> None:
    assert Plan().leading(row(2500)) == ["02500_output.png"]
    assert Plan(layout="sharded").leading(row(2500)) == ["00002/02500_output.png"]
    tars = Plan(writer="webdataset", rows_per_tar=100, variants=2)
    assert tars.leading(row(2500)) == ["00025.tar/02500.output_0.png", "00025.tar/02500.output_1.png"]
    assert tars.metadata_name(row(2500)) == "02500.json"
    assert Plan(writer="null").leading(row(0)) == [""]


def test_files_are_asked_for_in_any_order_and_by_their_old_names() -> None:
    assert parse_pictures("mask, output,mask") == ("output", "mask")
    assert parse_files("mask,degraded_fg,input") == (("degraded", "mask"), True)
    assert parse_files("mask") == (("mask",), False)
    assert parse_files("all") == (PICTURES, True)
    assert parse_format("png") == ("png", None)
    assert parse_format("webp:80") == ("webp", 80)


@pytest.mark.parametrize("text", ["", ",", "output,shading", "all,shading"])
def test_unknown_files_are_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match="choose from output, degraded, albedo"):
        parse_files(text)


def test_the_input_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs no server"):
        parse_files("input")


@pytest.mark.parametrize("text", ["gif", "png:9", "jpeg:", "jpeg:0", "jpeg:101", "webp:high"])
def test_unknown_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"choose png|from 1 to 100"):
        parse_format(text)
