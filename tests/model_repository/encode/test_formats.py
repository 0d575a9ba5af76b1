"""What encode promises of its files: the grammar of FILES, the formats and what they say of their colours, and INFO."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import exr
import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest
from backdrop import over_gray
from exr import encode_exr
from formats import encode_colours
from info import read_models, write_info
from levels import LINEAR
from PIL import Image
from png import Pixels

from contract.files import WHITE, Files, FilesError, parse_files
from contract.names import PICTURES
from contract.photos import PhotoRules
from tests.rig.exr import channels
from tests.rig.png import chunks, read_by_opencv


def photo(height: int = 48, width: int = 64) -> Pixels:
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels: Pixels = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    return pixels


def encoded(wanted: str, pixels: npt.NDArray[Any]) -> bytes:
    """The output in one format."""
    return encode_colours(parse_files(f"output;{wanted}"), "output", pixels)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("text", "kind", "quality", "depth"),
    [
        ("output", "png", None, 8),
        ("output;", "png", None, 8),
        ("output;png", "png", None, 8),
        ("output;jpeg", "jpeg", 95, 8),
        ("output;jpeg:92", "jpeg", 92, 8),
        ("output;webp", "webp", 90, 8),
        ("output;webp:1", "webp", 1, 8),
        ("output;webp:lossless", "webp", None, 8),
        ("output;png:16", "png", None, 16),
        ("output;exr", "exr", None, 8),
    ],
)
def test_the_format_follows_the_names(text: str, kind: str, quality: int | None, depth: int) -> None:
    files = parse_files(text)
    assert (files.format, files.quality, files.depth) == (kind, quality, depth)
    assert files.planes == ((1, 2) if kind == "exr" or depth == 16 else (0,))


def test_all_names_may_be_asked_for_in_any_order_and_spacing() -> None:
    assert parse_files(", ".join(reversed(PICTURES)) + " ; png").names == PICTURES


@pytest.mark.parametrize("text", ["", "outputs", "output,", "output,alphas;png", "Output"])
def test_an_unknown_name_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(FilesError, match="choose from output, degraded, shading, environment, albedo, mask"):
        parse_files(text)


@pytest.mark.parametrize(
    "wanted",
    [
        "gif",
        "png:9",
        "png:32",
        "exr:1",
        "exr:",
        "jpeg:0",
        "jpeg:101",
        "jpeg:",
        "jpeg:lossless",
        "jpeg:-5",
        "webp:9.5",
        ":90",
    ],
)
def test_an_unknown_format_is_refused_with_the_choices(wanted: str) -> None:
    with pytest.raises(FilesError, match="choose from png, png:16, jpeg, jpeg:1-100, webp"):
        parse_files(f"output;{wanted}")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("", PhotoRules()),
        ("size=1024", PhotoRules(size=1024)),
        (" max_aspect=2.5 , crop=person,size=64", PhotoRules(size=64, crop="person", max_aspect=2.5)),
        ("min_side=256,max_megapixels=0.5,crop=none", PhotoRules(min_side=256, max_megapixels=0.5)),
    ],
)
def test_the_rules_of_photos_follow_the_format(rules: str, expected: PhotoRules) -> None:
    assert parse_files(f"output;jpeg:92;{rules}") == Files(("output",), "jpeg", quality=92, photo=expected)
    assert parse_files(f"output;;{expected}").photo == expected


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ("size", "FILES asks for 'size': choose from size=N, crop=none|center|person, min_side=N, max_aspect=R"),
        ("zoom=2", "FILES asks for 'zoom=2': choose from size=N"),
        ("size=64,size=64", "FILES asks for 'size=64': choose from size=N, .*, each at most once."),
        ("png;size=64", "FILES asks for 'png;size=64': choose from size=N"),
        ("crop=middle", "FILES asks for the crop 'middle': choose from none, center, person."),
        ("size=15", "FILES asks for size=15: size must be a whole number from 16 to 16384."),
        ("size=64.5", "FILES asks for size=64.5: size must be a whole number"),
        ("max_aspect=nan", "FILES asks for max_aspect=nan: max_aspect must be a number from 1 to 1000."),
        ("max_megapixels=1e99", "FILES asks for max_megapixels=1e99: max_megapixels must be a number from 0.001"),
    ],
)
def test_an_unknown_rule_is_refused_with_the_choices(rules: str, sentence: str) -> None:
    with pytest.raises(FilesError, match=sentence.replace("|", r"\|")):
        parse_files(f"output;png;{rules}")


@pytest.mark.parametrize("wanted", ["png", "webp:lossless"])
def test_a_lossless_format_keeps_every_pixel(wanted: str) -> None:
    data = encoded(wanted, photo())
    assert np.array_equal(np.asarray(opened(data)), photo())


@pytest.mark.parametrize(("wanted", "name"), [("jpeg:98", "JPEG"), ("webp:98", "WEBP")])
def test_a_lossy_format_keeps_close_and_its_quality_counts(wanted: str, name: str) -> None:
    data = encoded(wanted, photo())
    image = opened(data)
    assert image.format == name
    assert np.abs(np.asarray(image).astype(int) - photo()).mean() < 4
    kind = wanted.partition(":")[0]
    assert len(encoded(f"{kind}:30", photo())) < len(data)


def test_a_jpeg_keeps_its_colour_at_full_resolution() -> None:
    data = encoded("jpeg", photo())
    assert {part[1:3] for part in opened(data).layer} == {(1, 1)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("wanted", ["png", "jpeg:50", "webp", "png:16", "exr"])
def test_the_mask_is_a_gray_png_whatever_the_format(wanted: str) -> None:
    mask = photo()[..., 0].copy()
    image = opened(encode_colours(parse_files(f"mask;{wanted}"), "mask", mask))
    assert (image.format, image.mode) == ("PNG", "L")
    assert np.array_equal(np.asarray(image), mask)


def test_an_image_that_the_format_cannot_hold_is_refused_with_the_remedy() -> None:
    with pytest.raises(FilesError, match=r"webp holds at most 16,383 pixels.*ask for png"):
        encoded("webp", np.zeros((1, 16_384, 3), np.uint8))


def test_16_bit_png_is_linear_with_white_at_the_top_and_says_so() -> None:
    codes = np.array([[[0, 1, WHITE // 2], [WHITE - 1, WHITE, 65_535]]], np.uint16)
    data = encoded("png:16", codes)
    expected = np.rint(np.minimum(codes / WHITE, 1) * 65_535)
    assert np.array_equal(read_by_opencv(data), expected)
    kinds = dict(chunks(data))
    assert kinds[b"gAMA"] == struct.pack(">I", 100_000)
    assert struct.unpack(">8I", kinds[b"cHRM"])[:4] == (31_270, 32_900, 64_000, 33_000)
    assert b"sRGB" not in kinds


def test_exr_is_linear_half_float_above_white_too_and_says_so() -> None:
    codes = np.array([[[0, 1, WHITE // 2], [WHITE - 1, WHITE, 60_000]]], np.uint16)
    data = encoded("exr", codes)
    (rgb,) = channels(data).values()
    assert rgb.dtype == np.float16
    assert np.array_equal(rgb, (codes / WHITE).astype(np.float16))
    header = OpenEXR.File(io.BytesIO(data)).header()
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert header["chromaticities"] == pytest.approx((0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329))


def test_exr_takes_values_of_any_strides() -> None:
    """OpenEXR itself reads memory as if it were contiguous."""
    values = np.random.default_rng(0).random((20, 30, 3), np.float32)
    data = encode_exr({"Y": values[::2, ::-1, 1]})
    assert np.array_equal(channels(data)["Y"], values[::2, ::-1, 1])


def test_without_openexr_only_exr_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exr, "OpenEXR", None)
    assert encoded("png:16", np.zeros((2, 2, 3), np.uint16))
    with pytest.raises(FilesError, match="its package OpenEXR is not installed: ask for png:16"):
        encoded("exr", np.zeros((2, 2, 3), np.uint16))


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


def test_in_16_bits_foreground_and_background_are_blended_in_linear_light() -> None:
    values = np.arange(256, dtype=np.uint8)
    levels, alpha = np.meshgrid(values, values)
    image = np.repeat(levels[..., np.newaxis], 3, axis=2)
    share = alpha[..., np.newaxis] / 255
    exact = WHITE * (LINEAR[image] * share + LINEAR[77] * (1 - share))
    assert np.abs(over_gray(image, alpha, 77, np.uint16) - exact).max() <= 1


@pytest.mark.parametrize("wanted", ["png", "jpeg:92", "webp:90", "webp:lossless", "png:16", "exr"])
def test_the_same_pixels_give_the_same_bytes(wanted: str) -> None:
    pixels = photo().astype(np.uint16) if wanted in ("png:16", "exr") else photo()
    assert encoded(wanted, pixels) == encoded(wanted, pixels.copy())


def test_info_names_the_numbers_and_the_networks_of_the_largest_version(tmp_path: Path) -> None:
    for version, network in (("2", "older"), ("10", "sam3")):
        folder = tmp_path / "segment" / version
        folder.mkdir(parents=True)
        export = {"network": network, "precision": "fp16", "sha256": "ab", "opset": 18}
        (folder / "export.json").write_text(json.dumps(export))
    models = read_models(tmp_path)
    sizes = (640, 480), (3000, 4000), [0, 9, 300, 4]
    info = write_info(0.123456789, [0.0, 0.25, 1.0, 0.5], 2, float("nan"), *sizes, models)
    assert b" " not in info
    assert json.loads(info) == {
        "score": 0.123457,
        "box": [0.0, 0.25, 1.0, 0.5],
        "count": 2,
        "residual": None,
        "width": 640,
        "height": 480,
        "original": [3000, 4000],
        "crop": [0, 9, 300, 4],
        "models": {"segment": {"network": "sam3", "precision": "fp16", "sha256": "ab"}},
    }
