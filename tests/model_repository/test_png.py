"""What the PNG writer promises: exact pixels for every reader, strictly valid, small, and fast."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from png import Pixels, write_png

from tests.rig.places import SAMPLES

SIDES = st.integers(1, 40)
SHAPES = st.tuples(SIDES, SIDES) | st.tuples(SIDES, SIDES, st.just(3))


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and bodies, as a strict reader takes them: signature, checksums, nothing left over."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(kind + body)
        found.append((kind, body))
        at += 12 + length
    assert at == len(data)
    return found


@settings(max_examples=150, deadline=None)
@given(arrays.arrays(np.uint8, SHAPES))
def test_any_image_comes_back_identical_from_both_readers(pixels: Pixels) -> None:
    data = write_png(pixels)
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), pixels)
    read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read[..., ::-1] if pixels.ndim == 3 else read, pixels)


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 300, 3), (300, 7)])
def test_the_file_is_strictly_valid(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = chunks(write_png(pixels))
    is_rgb = len(shape) == 3
    order = [b"IHDR", b"sRGB", b"IDAT", b"IEND"] if is_rgb else [b"IHDR", b"IDAT", b"IEND"]
    assert [kind for kind, _ in found] == order
    assert found[0][1] == struct.pack(">IIBBBBB", shape[1], shape[0], 8, 2 * is_rgb, 0, 0, 0)
    inflater = zlib.decompressobj()
    rows = inflater.decompress(found[-2][1])
    assert inflater.eof
    assert not inflater.unused_data
    assert len(rows) == shape[0] * (1 + pixels[0].size)


@pytest.mark.parametrize("width", [85, 86, 87, 88, 172, 173, 400])
def test_runs_of_any_length_come_back(width: int) -> None:
    """A match holds 86 pixels."""
    pixels = np.zeros((9, width, 3), np.uint8)
    pixels[3:, width // 2] = 7, 8, 9
    pixels[8] = 200
    data = write_png(pixels)
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), pixels)
    assert len(data) < 600


def test_bytes_of_very_unequal_frequency_come_back() -> None:
    """Each byte about twice as frequent as the next: the best code would have words of more than deflate's 15 bits."""
    generator = np.random.default_rng(0)
    residuals = np.minimum(generator.geometric(0.5, (512, 512, 3)), 30).astype(np.uint8)
    pixels = np.cumsum(residuals, axis=1, dtype=np.uint8)
    data = write_png(pixels)
    assert np.array_equal(np.asarray(Image.open(BytesIO(data))), pixels)
    assert len(data) < 0.5 * pixels.size


def test_noise_grows_by_less_than_a_hundredth() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    assert len(write_png(pixels)) < 1.01 * pixels.size


def test_a_view_of_a_larger_image_is_written_as_seen() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    view = pixels[3:40:2, ::-1]
    assert np.array_equal(np.asarray(Image.open(BytesIO(write_png(view)))), view)


def test_the_same_pixels_give_the_same_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    assert write_png(pixels) == write_png(pixels.copy())


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 1), (4,), (0, 4, 3)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\] or \[H, W\]"):
        write_png(np.zeros(shape, np.uint8))


def test_the_filter_predicts_as_the_standard_says() -> None:
    """PNG, third edition, 9.4."""
    pixels = np.random.default_rng(0).integers(0, 5, (30, 40, 3)).astype(np.uint8)
    padded = np.pad(pixels.astype(int), ((1, 0), (1, 0), (0, 0)))
    left, above, corner = padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]
    distances = np.stack([abs(above - corner), abs(left - corner), abs(left + above - 2 * corner)])
    predicted = np.choose(distances.argmin(0), (left, above, corner))
    (rows,) = (zlib.decompress(body) for kind, body in chunks(write_png(pixels)) if kind == b"IDAT")
    filtered = np.frombuffer(rows, np.uint8).reshape(30, 121)
    assert set(filtered[:, 0]) == {4}
    assert np.array_equal(filtered[:, 1:].reshape(30, 40, 3), (pixels - predicted).astype(np.uint8))


def test_a_photo_takes_few_more_bytes_than_pillows_own() -> None:
    sample = SAMPLES / "astronaut.png"
    image = Image.open(sample).convert("RGB")
    file = BytesIO()
    image.save(file, "PNG")
    assert len(write_png(np.asarray(image))) < 1.1 * len(file.getvalue())
