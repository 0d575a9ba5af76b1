"""What decode promises of a photo's size: scaled by area, cut in the middle, refused by its header."""

from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from framing import Framed, fit
from photo import PhotoError, open_photo, read_photo
from PIL import Image, ImageCms
from reading import Reading

from contract.photos import PhotoRules
from tests.rig.photos import portrait

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 800, 600
ORIENTATIONS = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}


def saved(image: Image.Image, file_format: str = "JPEG", **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, file_format, **({"quality": 95} if file_format == "JPEG" else {}), **options)
    return file.getvalue()


def framed(data: bytes, rules: PhotoRules, max_megapixels: float = 100.0) -> Framed:
    """As decode does it."""
    least = (rules.size, rules.size) if rules.size else None
    return fit(open_photo(data, Reading(max_megapixels, rules=rules, least=least)), rules)


def by_area(pixels: Pixels, width: int, height: int) -> npt.NDArray[np.float64]:
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA).astype(float)


@pytest.mark.parametrize("size", [270, 150, 75])
@pytest.mark.parametrize(("mode", "progressive"), [("RGB", False), ("RGB", True), ("L", False), ("CMYK", False)])
def test_a_jpeg_that_its_decoder_scales_is_the_whole_one_averaged_by_area(
    size: int, mode: str, progressive: bool
) -> None:
    data = saved(portrait(WIDTH, HEIGHT).convert(mode), progressive=progressive)
    found = framed(data, PhotoRules(size))
    expected = by_area(read_photo(data), round(WIDTH * size / HEIGHT), size)
    apart = np.abs(found.pixels - expected)
    assert apart.mean() < (2 if size == 270 else 1)  # averaged twice: 600 to 300, and that to 270
    assert np.percentile(apart, 99.9) < (32 if size == 270 else 16)
    assert found.frame == (WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_scaled_photo_is_upright_and_in_its_colours(file_format: str, orientation: int) -> None:
    upright = portrait(WIDTH, HEIGHT)
    turn = ORIENTATIONS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    stored = upright if turn is None else upright.transpose(turn)
    found = framed(saved(stored, file_format, exif=exif, icc_profile=srgb.tobytes()), PhotoRules(60))
    assert found.frame == (WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT)
    assert np.abs(found.pixels - by_area(np.asarray(upright), 80, 60)).mean() < 5


def test_a_photo_is_never_enlarged() -> None:
    data = saved(portrait(60, 90), "PNG")
    found = framed(data, PhotoRules(61))
    assert np.array_equal(found.pixels, read_photo(data))


@pytest.mark.parametrize(("width", "height", "side"), [(90, 61, 50), (61, 90, 50), (408, 800, 100), (40, 30, 30)])
def test_the_middle_is_a_square(width: int, height: int, side: int) -> None:
    data = saved(portrait(width, height))
    found = framed(data, PhotoRules(size=side, crop="center"))
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    assert found.frame == (width, height, left, top, left + short, top + short)
    assert found.pixels.shape == (side, side, 3)
    expected = by_area(read_photo(data)[top : top + short, left : left + short], side, side)
    assert np.abs(found.pixels - expected).mean() < 4  # half a pixel beside it would be 8


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (PhotoRules(min_side=65), "its short side is below min_side=65"),
        (PhotoRules(max_aspect=4), "its long side is 5 times its short one, above max_aspect=4"),
        (PhotoRules(max_megapixels=0.02), "0.02048 megapixels, above max_megapixels=0.02"),
    ],
)
def test_a_photo_of_a_size_that_is_not_wanted_is_refused(file_format: str, rules: PhotoRules, sentence: str) -> None:
    with pytest.raises(PhotoError) as refused:
        framed(saved(portrait(320, 64), file_format), rules)
    assert str(refused.value) == f"The photo is 320 x 64: {sentence}."
    framed(saved(portrait(320, 64), file_format), PhotoRules(min_side=64, max_aspect=5, max_megapixels=0.021))


def test_a_jpeg_that_is_scaled_may_be_four_times_as_large() -> None:
    data = saved(portrait(WIDTH, HEIGHT))  # 0.48 megapixels
    assert framed(data, PhotoRules(100), max_megapixels=0.13).pixels.shape == (100, 133, 3)
    for size, limit, told in ((100, 0.11, "0.44"), (301, 0.13, "0.13"), (None, 0.4, "0.4")):
        with pytest.raises(PhotoError, match=rf"0\.5 megapixels \(800 x 600\); the limit is {told} "):
            framed(data, PhotoRules(size), limit)
