"""What the PNG encoder promises in 8 and 16 bits: exact pixels for every reader, strictly valid, and small."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from png import DeepPixels, Pixels, encode_png

from tests.rig.places import SAMPLES
from tests.rig.png import chunks, read_by_opencv

SIDES = st.integers(1, 40)
DEPTHS = st.sampled_from([np.uint8, np.uint16])
SHAPES = st.tuples(SIDES, SIDES) | st.tuples(SIDES, SIDES, st.just(3))


def noise(shape: tuple[int, ...], depth: int) -> Pixels | DeepPixels:
    values = np.random.default_rng(0).integers(0, 1 << depth, shape)
    return values.astype(np.uint8) if depth == 8 else values.astype(np.uint16)


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(DEPTHS, SHAPES))
def test_any_image_comes_back_identical_from_both_readers(pixels: Pixels | DeepPixels) -> None:
    data = encode_png(pixels)
    assert np.array_equal(read_by_opencv(data), pixels)
    if pixels.dtype == np.uint8 or pixels.ndim == 2:  # Pillow has no 16-bit colour
        assert np.array_equal(np.asarray(Image.open(BytesIO(data))), pixels)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (300, 7)])
def test_the_file_is_strictly_valid(shape: tuple[int, ...], depth: int) -> None:
    pixels = noise(shape, depth)
    found = chunks(encode_png(pixels))
    is_rgb = len(shape) == 3
    order = [b"IHDR", b"sRGB", b"IDAT", b"IEND"] if is_rgb else [b"IHDR", b"IDAT", b"IEND"]
    assert [kind for kind, _ in found] == order
    assert found[0][1] == struct.pack(">IIBBBBB", shape[1], shape[0], depth, 2 * is_rgb, 0, 0, 0)
    inflater = zlib.decompressobj()
    rows = inflater.decompress(found[-2][1])
    assert inflater.eof
    assert not inflater.unused_data
    assert len(rows) == shape[0] * (1 + pixels[0].nbytes)
    for space, said in (("data", []), ("linear", [b"gAMA", b"cHRM"] if is_rgb else [])):
        assert [kind for kind, _ in chunks(encode_png(pixels, space))] == [b"IHDR", *said, b"IDAT", b"IEND"]


@pytest.mark.parametrize("width", [85, 86, 87, 88, 172, 173, 400])
def test_runs_of_any_length_come_back(width: int) -> None:
    """A match holds 258 bytes: 86 pixels."""
    pixels = np.zeros((9, width, 3), np.uint8)
    pixels[3:, width // 2] = 7, 8, 9
    pixels[8] = 200
    data = encode_png(pixels)
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), pixels)
    assert len(data) < 600


def test_bytes_of_very_unequal_frequency_come_back() -> None:
    """Each byte about twice as frequent as the next: the best code would have words of more than deflate's 15 bits."""
    generator = np.random.default_rng(0)
    residuals = np.minimum(generator.geometric(0.5, (512, 512, 3)), 30).astype(np.uint8)
    pixels = np.cumsum(residuals, axis=1, dtype=np.uint8)
    data = encode_png(pixels)
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), pixels)
    assert len(data) < 0.5 * pixels.size


@pytest.mark.parametrize("depth", [8, 16])
def test_noise_grows_by_less_than_a_hundredth(depth: int) -> None:
    pixels = noise((200, 200, 3), depth)
    assert len(encode_png(pixels)) < 1.01 * pixels.nbytes


@pytest.mark.parametrize("depth", [8, 16])
def test_a_view_of_a_larger_image_is_written_as_seen(depth: int) -> None:
    pixels = noise((50, 60, 3), depth)
    view = pixels[3:40:2, ::-1]
    assert np.array_equal(read_by_opencv(encode_png(view)), view)


@pytest.mark.parametrize("depth", [8, 16])
def test_the_same_pixels_give_the_same_bytes_on_any_thread(depth: int) -> None:
    pixels = noise((300, 400, 3), depth)
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(encode_png, [pixels.copy() for _ in range(16)]))
    assert set(files) == {encode_png(pixels)}


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 1), (4,), (0, 4, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"uint8 or uint16 \[H, W, 3\] or \[H, W\]"):
        encode_png(np.zeros(shape, np.uint8))


def test_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not float32 \(4, 4\)"):
        encode_png(np.zeros((4, 4), np.float32))  # type: ignore[arg-type]


def test_paeth_predicts_colour_as_the_standard_says() -> None:
    """PNG, third edition, 9.4. The first two rows are filtered by Up."""
    pixels = np.random.default_rng(0).integers(0, 5, (30, 40, 3)).astype(np.uint8)
    padded = np.pad(pixels.astype(int), ((1, 0), (1, 0), (0, 0)))
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    distances = np.stack([abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)])
    predicted = np.choose(distances.argmin(0), (left, above, corner))
    predicted[:2] = above[:2]
    (rows,) = (zlib.decompress(body) for kind, body in chunks(encode_png(pixels)) if kind == b"IDAT")
    filtered = np.frombuffer(rows, np.uint8).reshape(30, 121)
    assert filtered[:, 0].tolist() == [2, 2, *[4] * 28]
    assert np.array_equal(filtered[:, 1:].reshape(30, 40, 3), (pixels - predicted).astype(np.uint8))


def cut_out(mode: str) -> Image.Image:
    """A sample photo's middle, 512², over gray: what most files hold."""
    with Image.open(SAMPLES / "astronaut.png") as photo:
        image = Image.new(mode, photo.size, "gray")
        alpha = Image.new("L", photo.size)
        ImageDraw.Draw(alpha).ellipse((100, 20, 400, 490), fill=255)
        image.paste(photo.convert(mode), mask=alpha)
    return image


def pillows(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photo_takes_few_more_bytes_than_pillows_own(mode: str) -> None:
    with Image.open(SAMPLES / "astronaut.png") as photo:
        images = photo.convert(mode), cut_out(mode)
    for image in images:
        assert len(encode_png(np.asarray(image))) < 1.15 * len(pillows(image))


def test_a_map_in_16_bits_takes_few_more_bytes_than_pillows_own() -> None:
    """In colour, which Pillow does not write, no more than the three channels apart."""
    deep = cv2.resize(np.asarray(cut_out("RGB")).astype(np.float32) * 257, (1024, 1024)).astype(np.uint16)
    apart = [(encode_png(plane), pillows(Image.fromarray(plane))) for plane in np.moveaxis(deep, -1, 0)]
    for ours, theirs in apart:
        assert len(ours) < 1.15 * len(theirs)
    assert len(encode_png(deep)) < 1.15 * sum(len(theirs) for _, theirs in apart)
