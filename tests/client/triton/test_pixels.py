"""Promises of the arrays: the files that the server writes become the numbers that they stand for."""

import io

import numpy as np
import pytest
from PIL import Image
from png import encode_png  # as Triton's model `encode` has it

from client.triton.pixels import decode, photo_file, read_picture

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7), (1, 1, 3), (300, 2)])
def test_a_png_of_any_depth_keeps_every_bit(shape: tuple[int, ...]) -> None:
    shallow = RANDOM.integers(0, 2**8, shape, np.uint8)
    deep = RANDOM.integers(0, 2**16, shape, np.uint16)
    assert np.array_equal(decode(memoryview(encode_png(shallow))), shallow)
    assert np.array_equal(decode(memoryview(encode_png(deep))), deep)


def test_a_png_of_another_writer_is_refused_rather_than_misread() -> None:
    stream = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 2**16, (64, 64), np.uint16)).save(stream, "PNG")
    with pytest.raises(ValueError, match="a PNG of an unknown kind"):
        decode(stream.getvalue())


def test_maps_are_the_numbers_that_their_files_stand_for() -> None:
    """As contract/files.py says: alpha and normal of 8 bits, depth and shading of 16."""
    alpha = read_picture("alpha", encode_png(np.array([[0, 51, 255]], np.uint8)))
    assert (alpha.dtype, alpha.tolist()) == (np.dtype(np.float32), [[0.0, pytest.approx(0.2), 1.0]])
    normal = read_picture("normal", encode_png(np.array([[[128, 128, 255], [255, 128, 128]]], np.uint8)))
    assert normal.dtype == np.float32
    assert np.linalg.norm(normal, axis=-1) == pytest.approx(1.0, abs=1e-6)
    assert normal[0, 0] == pytest.approx((0, 0, 1), abs=0.005)
    assert normal[0, 1] == pytest.approx((1, 0, 0), abs=0.005)
    depth = read_picture("depth", encode_png(np.array([[0, 65535, 49151]], np.uint16)))
    assert depth.dtype == np.float32
    assert depth[0] == pytest.approx((-4.0, 4.0, 2.0), abs=1e-4)
    shading = read_picture("shading", encode_png(np.array([[[16384, 0, 32768]]], np.uint16)))
    assert (shading.dtype, shading.tolist()) == (np.dtype(np.float32), [[[1.0, 0.0, 2.0]]])


def test_pictures_and_masks_stay_bytes() -> None:
    pixels = RANDOM.integers(0, 256, (4, 4, 3), np.uint8)
    assert read_picture("output", encode_png(pixels)).dtype == np.uint8
    assert read_picture("mask", encode_png(pixels[..., 0])).tolist() == pixels[..., 0].tolist()


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "F", "I", "I;16"]
)
def test_a_pil_image_of_any_mode_becomes_a_file_of_the_same_picture(mode: str) -> None:
    color = Image.new("RGB", (6, 4), (250, 120, 10))
    image = (color if mode in ("HSV", "LAB", "YCbCr", "CMYK") else color.convert("L")).convert(mode)
    if mode == "LAB":
        image = Image.new("LAB", (6, 4))
    with Image.open(io.BytesIO(photo_file(image))) as read:
        assert (read.format, read.size) == ("PNG", (6, 4))
        wanted = np.asarray(image.convert("RGB"), int)
        assert np.abs(np.asarray(read.convert("RGB"), int) - wanted).max() <= 1


def test_arrays_of_either_order_and_of_floats_are_the_same_file() -> None:
    pixels = RANDOM.integers(0, 2**8, (5, 7, 3), np.uint8)
    floats = pixels.astype(np.float32) / 255
    for form in (np.moveaxis(pixels, 2, 0), floats, np.moveaxis(floats, 2, 0)):
        assert photo_file(form) == photo_file(pixels)
