"""Promises of the plan: which files a row gets, their names and their places. No server."""

from dataclasses import replace

import pytest

from client.input.row import Row
from client.output.plan import Plan, parse_format, parse_pictures, with_depth
from contract.names import PICTURES
from contract.photos import PhotoRules


def row(index: int, image_path: str = "a/photo.JPG", identifier: str | None = None) -> Row:
    return Row(index, (image_path,), image_path, None, identifier)


def test_files_are_named_by_the_row_and_the_light() -> None:
    one, two = Plan(format="jpeg:92"), Plan(format="jpeg", variants=2)
    assert one.file_names(row(7))["output"] == ["00007_output.jpg"]
    assert two.file_names(row(7))["output"] == ["00007_output_0.jpg", "00007_output_1.jpg"]
    assert two.file_names(row(7))["albedo"] == ["00007_albedo.jpg"]
    assert one.file_names(row(123456, identifier="Ada"))["mask"] == ["123456_Ada_mask.png"], "a mask is always png"
    assert one.request() == "output,albedo,mask,foreground;jpeg:92"


def test_the_rules_of_photos_are_a_third_part_of_the_request() -> None:
    rules = PhotoRules(size=1024, crop="person", min_side=256, max_aspect=2.5, max_megapixels=40)
    plan = Plan(("output", "input"), photo=rules)
    assert plan.request() == "output,input;png;size=1024,crop=person,min_side=256,max_aspect=2.5,max_megapixels=40"
    assert plan.files.photo == rules
    assert plan.file_names(row(0, "a.webp"))["input"] == ["00000_input.png"], "in the chosen format"


def test_rows_go_to_folders_or_tars_of_so_many() -> None:
    assert Plan().leading(row(2500)) == ["02500_output.png"]
    assert Plan(layout="sharded").leading(row(2500)) == ["00002/02500_output.png"]
    tars = Plan(dataset="webdataset", rows_per_tar=100, variants=2)
    assert tars.leading(row(2500)) == ["00025.tar/02500_0.output.png", "00025.tar/02500_1.output.png"]
    assert tars.sample_names(row(7))[1]["albedo"] == "00007_1.albedo.png", "a photo's files are in each of its samples"
    in_split = replace(row(2500), split="val")
    assert Plan(dataset="parquet").leading(in_split) == ["val/00002.parquet/02500_0.output.png"]
    assert Plan(layout="sharded").leading(in_split) == ["val/00002/02500_output.png"]
    assert Plan(dataset="null").leading(row(0)) == [""]


def test_files_are_asked_for_in_any_order_and_by_their_old_names() -> None:
    assert parse_pictures("mask, output,mask") == ("output", "mask")
    assert parse_pictures("mask,degraded_fg,input") == ("degraded", "mask", "input")
    assert parse_pictures("all") == PICTURES
    assert [parse_format(text) for text in ("png", "webp:80", "webp:lossless", "exr")] == [
        *("png", "webp:80", "webp:lossless", "exr")
    ]


def test_data_are_never_lossy_and_the_environment_is_an_exr() -> None:
    pictures = ("output", "shading", "environment", "alpha")
    for form, endings in (
        ("jpeg", ["output.jpg", "shading.png", "environment.exr", "alpha.png"]),
        ("png:16", ["output.png", "shading.png", "environment.exr", "alpha.png"]),
        ("exr", ["output.exr", "shading.exr", "environment.exr", "alpha.exr"]),
    ):
        plan = Plan(pictures, format=form)
        assert [name for picture in pictures for name in plan.endings(picture)] == endings
    assert Plan(("shading",), variants=2).endings("shading") == ["shading_0.png", "shading_1.png"]


def test_the_metadata_says_what_values_mean() -> None:
    assert Plan(("output", "mask")).values() == {"output": "sRGB, 8 bit", "mask": "255 is the person, 8 bit"}
    deep = Plan(("output", "alpha"), format="png:16").values()
    assert deep == {
        "output": "linear Rec. 709, 16 bit, 65535 is white",
        "alpha": "probability of the person, 16 bit, 65535 is 1",
    }
    assert Plan(("output",), format="exr").values() == {"output": "linear Rec. 709, half float, 1 is white"}


def test_a_depth_belongs_to_a_png() -> None:
    assert with_depth("png", 16) == "png:16"
    assert with_depth("png", 8) == with_depth("png", None) == "png"
    assert (with_depth("png:16", None), with_depth("exr", 16), with_depth("jpeg", 8)) == ("png:16", "exr", "jpeg")
    for form in ("jpeg:90", "webp", "webp:lossless"):
        with pytest.raises(ValueError, match=f"--depth 16 needs --format png or exr: {form} has 8 bits"):
            with_depth(form, 16)


@pytest.mark.parametrize("text", ["", ",", "output,lamp", "all,shading"])
def test_unknown_files_are_refused_with_the_choices(text: str) -> None:
    with pytest.raises(ValueError, match="choose from output, degraded, shading, environment, albedo, mask, alpha"):
        parse_pictures(text)


@pytest.mark.parametrize("text", ["gif", "png:9", "jpeg:", "jpeg:0", "jpeg:101", "webp:high"])
def test_unknown_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"there is no format .*; choose from png, png:16, jpeg, jpeg:1-100, webp"):
        parse_format(text)
