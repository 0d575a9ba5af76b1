"""What encode promises of FILES: the grammar, the formats, the two composites, and INFO."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from files import FilesError, over_gray, parse_files
from info import read_models, write_info
from PIL import Image
from png import Pixels

from contract.names import PICTURES


def photo(height: int = 48, width: int = 64) -> Pixels:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels: Pixels = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    return pixels


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize(
    ("text", "kind", "quality"),
    [
        ("output", "png", None),
        ("output;", "png", None),
        ("output;png", "png", None),
        ("output;jpeg", "jpeg", 95),
        ("output;jpeg:92", "jpeg", 92),
        ("output;webp", "webp", 90),
        ("output;webp:1", "webp", 1),
        ("output;webp:lossless", "webp", None),
    ],
)
def test_the_format_follows_the_names(text: str, kind: str, quality: int | None) -> None:
    files = parse_files(text)
    assert (files.format, files.quality) == (kind, quality)


def test_all_names_may_be_asked_for_in_any_order_and_spacing() -> None:
    assert parse_files(", ".join(reversed(PICTURES)) + " ; png").names == set(PICTURES)


@pytest.mark.parametrize("text", ["", "outputs", "output,", "output,alpha;png", "Output"])
def test_an_unknown_name_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(FilesError, match="choose from output, degraded, albedo, mask, foreground"):
        parse_files(text)


@pytest.mark.parametrize(
    "wanted",
    ["gif", "png:9", "jpeg:0", "jpeg:101", "jpeg:", "jpeg:lossless", "jpeg:-5", "webp:9.5", ":90"],
)
def test_an_unknown_format_is_refused_with_the_choices(wanted: str) -> None:
    with pytest.raises(FilesError, match="choose from png, jpeg, jpeg:1-100, webp"):
        parse_files(f"output;{wanted}")


def test_what_was_not_asked_for_is_no_bytes() -> None:
    files = parse_files("output;png")
    assert files.encode("degraded", photo()) == b""
    assert files.encode_over_gray("foreground", photo(), photo()[..., 0], 128) == b""


@pytest.mark.parametrize("wanted", ["png", "webp:lossless"])
def test_a_lossless_format_keeps_every_pixel(wanted: str) -> None:
    data = parse_files(f"output;{wanted}").encode("output", photo())
    assert np.array_equal(np.asarray(opened(data)), photo())


@pytest.mark.parametrize(("wanted", "name"), [("jpeg:98", "JPEG"), ("webp:98", "WEBP")])
def test_a_lossy_format_keeps_close_and_its_quality_counts(wanted: str, name: str) -> None:
    data = parse_files(f"output;{wanted}").encode("output", photo())
    image = opened(data)
    assert image.format == name
    assert np.abs(np.asarray(image).astype(int) - photo()).mean() < 4
    kind = wanted.partition(":")[0]
    assert len(parse_files(f"output;{kind}:30").encode("output", photo())) < len(data)


def test_a_jpeg_keeps_its_colour_at_full_resolution() -> None:
    data = parse_files("output;jpeg").encode("output", photo())
    assert {part[1:3] for part in opened(data).layer} == {(1, 1)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("wanted", ["png", "jpeg:50", "webp"])
def test_the_mask_is_a_gray_png_whatever_the_format(wanted: str) -> None:
    mask = photo()[..., 0].copy()
    image = opened(parse_files(f"mask;{wanted}").encode("mask", mask))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.array_equal(np.asarray(image), mask)


def test_an_image_that_the_format_cannot_hold_is_refused_with_the_remedy() -> None:
    with pytest.raises(FilesError, match=r"webp holds at most 16,383 pixels.*ask for png"):
        parse_files("output;webp").encode("output", np.zeros((1, 16_384, 3), np.uint8))


def test_foreground_and_background_are_rounded_and_complement_each_other() -> None:
    values = np.arange(256, dtype=np.uint8)
    levels, alpha = np.meshgrid(values, values)
    image = np.repeat(levels[..., np.newaxis], 3, axis=2)
    exact = (image * (alpha[..., np.newaxis] / 255)) + 77 * (1 - alpha[..., np.newaxis] / 255)
    foreground = over_gray(image, alpha, 77)
    assert np.abs(foreground - exact).max() <= 0.5 + 1e-9
    background = over_gray(image, np.invert(alpha), 77)
    assert np.abs(foreground.astype(int) + background - image - 77).max() <= 1
    assert np.array_equal(over_gray(image, np.full_like(alpha, 255), 77), image)
    assert (over_gray(image, np.zeros_like(alpha), 77) == 77).all()


@pytest.mark.parametrize("wanted", ["png", "jpeg:92", "webp:90", "webp:lossless"])
def test_the_same_pixels_give_the_same_bytes(wanted: str) -> None:
    files = parse_files(f"output;{wanted}")
    assert files.encode("output", photo()) == files.encode("output", photo())


def test_info_names_the_numbers_and_the_networks_of_the_largest_version(tmp_path: Path) -> None:
    for version, network in (("2", "older"), ("10", "sam3")):
        folder = tmp_path / "segment" / version
        folder.mkdir(parents=True)
        export = {"network": network, "precision": "fp16", "sha256": "ab", "opset": 18}
        (folder / "export.json").write_text(json.dumps(export))
    models = read_models(tmp_path)
    info = write_info(0.123456789, [0.0, 0.25, 1.0, 0.5], 2, float("nan"), (640, 480), models)
    assert b" " not in info
    assert json.loads(info) == {
        "score": 0.123457,
        "box": [0.0, 0.25, 1.0, 0.5],
        "count": 2,
        "residual": None,
        "width": 640,
        "height": 480,
        "models": {"segment": {"network": "sam3", "precision": "fp16", "sha256": "ab"}},
    }
