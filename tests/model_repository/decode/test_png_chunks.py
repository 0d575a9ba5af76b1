"""A PNG is checked before any decoder sees it: every checksum, every row; decoders get a still picture."""

import struct
import zlib

import numpy as np
import pytest
from photo import PhotoError, read_photo
from PIL import Image
from png_chunks import read_chunks

from tests.fuzz.samples import chunk, interlaced_png, saved

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES_OF = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def animated() -> bytes:
    frames = [Image.new("RGB", (24, 16), color) for color in ("red", "blue")]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


def test_one_flipped_bit_anywhere_is_found() -> None:
    data = animated()
    for at in range(8, len(data)):
        changed = bytearray(data)
        changed[at] ^= 0x10
        with pytest.raises(PhotoError, match=r"truncated|damaged"):
            read_photo(bytes(changed))


def test_a_png_that_ends_anywhere_is_truncated() -> None:
    data = saved(Image.new("RGB", (24, 16), "red"), "PNG")
    for length in range(8, len(data)):
        with pytest.raises(PhotoError, match="truncated"):
            read_photo(data[:length])


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("color_type", SAMPLES_OF)
@pytest.mark.parametrize("depth", [8, 16])
def test_rows_that_are_missing_behind_right_checksums_are_found(depth: int, color_type: int, interlaced: int) -> None:
    if color_type == 3:
        depth = 4 if depth == 16 else 8  # palettes have no more
    row = b"\0" + bytes(-(-32 * depth * SAMPLES_OF[color_type] // 8))
    palette = chunk(b"PLTE", bytes(3 * 16)) if color_type == 3 else b""
    for rows in (0, 1, 9, 30):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, depth, color_type, 0, 0, interlaced))
        pixels = chunk(b"IDAT", zlib.compress(row * rows))
        with pytest.raises(PhotoError, match=r"truncated|damaged"):
            read_photo(SIGNATURE + header + palette + pixels + chunk(b"IEND", b""))


def test_decoders_get_no_animation_and_opencv_gets_nothing_but_pixels() -> None:
    png = read_chunks(animated())
    assert {b"acTL", b"fcTL", b"fdAT"} <= png.kinds
    assert read_chunks(png.still()).kinds.isdisjoint({b"acTL", b"fcTL", b"fdAT"})
    assert read_chunks(png.bare()).kinds == {b"IHDR", b"IDAT", b"IEND"}
    assert (read_photo(animated()) == (255, 0, 0)).all()


def test_an_interlaced_png_is_complete() -> None:
    x, y = np.meshgrid(np.arange(19), np.arange(13))
    assert np.array_equal(read_photo(interlaced_png())[..., 0], 10 * x + 3 * y)


def test_what_follows_the_end_does_no_harm() -> None:
    data = saved(Image.new("RGB", (24, 16), "red"), "PNG")
    assert np.array_equal(read_photo(data + b"a phone's own data"), read_photo(data))
