"""What the PNG writer promises: exact pixels for every reader, strictly valid, small, and fast."""

import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "model_repository/encode/1"))

from png import Pixels, write_png

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


def test_a_photo_takes_few_more_bytes_than_pillows_own() -> None:
    sample = Path(__file__).parents[1] / "samples/astronaut.png"
    image = Image.open(sample).convert("RGB")
    file = BytesIO()
    image.save(file, "PNG")
    assert len(write_png(np.asarray(image))) < 1.2 * len(file.getvalue())
