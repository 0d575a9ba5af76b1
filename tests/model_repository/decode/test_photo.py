"""What decode promises of a photo: every format read right, every broken file refused by name."""

import struct
import zlib
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from photo import FORMATS, PhotoError, Pixels, read_photo
from PIL import Image, ImageCms, ImageDraw
from squares import write_squares

LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}


def drawing(width: int = 60, height: int = 40) -> Image.Image:
    """A smooth gradient with a disc off its centre, so that no two orientations look alike."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8))
    ImageDraw.Draw(image).ellipse((3, 5, 20, 22), fill=(230, 180, 40))
    return image


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def difference(left: Pixels, right: Pixels) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(np.int16) - right).max())


@pytest.mark.parametrize("file_format", LOSSLESS)
def test_a_lossless_file_gives_its_exact_pixels(file_format: str) -> None:
    image = drawing()
    pixels = read_photo(saved(image, file_format, **LOSSLESS[file_format]))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize("file_format", [name for name in FORMATS if name not in LOSSLESS])
def test_every_other_format_gives_what_pillow_sees(file_format: str) -> None:
    data = saved(drawing(), file_format)
    seen = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    assert np.array_equal(read_photo(data), seen)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"optimize": True}])
def test_the_fast_jpeg_reader_agrees_with_pillow(options: dict[str, object]) -> None:
    data = saved(drawing(333, 211), "JPEG", **options)
    assert np.array_equal(read_photo(data), np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_photo_comes_out_upright(file_format: str, orientation: int) -> None:
    upright = drawing()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = LOSSLESS.get(file_format, {"quality": 100, "subsampling": 0})
    pixels = read_photo(saved(stored, file_format, exif=exif, **options))
    assert difference(pixels, np.asarray(upright)) <= (4 if file_format == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", ["gray", "colour"])
def test_a_16_bit_tiff_comes_out_upright(depth: str, orientation: int) -> None:
    deep = np.asarray(drawing()).astype(np.uint16) * 257
    deep = deep[..., 0] if depth == "gray" else deep
    data = tiff_16(deep, orientation)
    eight = np.asarray(drawing().getchannel(0).convert("RGB") if depth == "gray" else drawing())
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = read_photo(saved(Image.fromarray(eight), "TIFF", exif=exif))
    assert np.array_equal(read_photo(data), upright)


def tiff_16(deep: npt.NDArray[np.integer[Any]], orientation: int = 1, white_is_zero: bool = False) -> bytes:
    """The smallest little-endian baseline TIFF with 16-bit samples in one strip."""
    height, width = deep.shape[:2]
    samples = 1 if deep.ndim == 2 else 3
    photometric = 2 if samples == 3 else (0 if white_is_zero else 1)
    pixels = deep.astype("<u2").tobytes()
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height)),
        (258, 3, samples, 16 if samples == 1 else 8 + len(pixels)),
        *((259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, 8), (274, 3, 1, orientation)),
        *((277, 3, 1, samples), (278, 4, 1, height), (279, 4, 1, len(pixels))),
    ]
    bits = struct.pack("<3H", 16, 16, 16)
    start = 8 + len(pixels) + len(bits)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", start) + pixels + bits + directory


def rounded(deep: npt.NDArray[np.integer[Any]]) -> Pixels:
    levels: Pixels = np.floor(deep / 257 + 0.5).astype(np.uint8)
    return levels


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_every_16_bit_value_is_rounded_to_the_nearest(file_format: str) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    colour = np.stack([every, every[::-1], every.T], -1)
    for deep in (every, colour):
        if file_format == "TIFF":
            data = tiff_16(deep)
        else:
            data = cv2.imencode(".png", deep[..., ::-1] if deep.ndim == 3 else deep)[1].tobytes()
        expected = rounded(deep if deep.ndim == 3 else np.stack([deep] * 3, -1))
        assert np.array_equal(read_photo(data), expected)


def test_a_16_bit_tiff_that_counts_from_white_is_inverted() -> None:
    deep = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    pixels = read_photo(tiff_16(deep, white_is_zero=True))
    assert np.array_equal(pixels[..., 0], rounded(65535 - deep))


def test_16_bit_alpha_shows_the_background() -> None:
    deep = np.zeros((4, 4, 4), np.uint16)
    deep[..., 2] = 65535
    deep[:2, :, 3] = 65535
    pixels = read_photo(cv2.imencode(".png", deep)[1].tobytes(), background_gray=90)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[3, 3].tolist() == [90, 90, 90]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK"])
def test_every_opaque_mode_becomes_rgb(mode: str) -> None:
    image = drawing().convert(mode)
    pixels = read_photo(saved(image, "TIFF"))
    assert np.array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparent_pixels_show_the_background_gray(mode: str) -> None:
    image = drawing().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image = image.convert("P" if mode == "PA" else mode)
    pixels = read_photo(saved(image, "PNG"), background_gray=50)
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    alpha = rgba[..., 3:] / 255
    expected = np.floor(rgba[..., :3] * alpha + 50 * (1 - alpha) + 0.5)
    assert np.abs(pixels - expected).max() == 0


def test_a_palette_with_a_transparent_colour_shows_the_background_gray() -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 1)
    for file_format in ("PNG", "GIF"):
        pixels = read_photo(saved(image, file_format, transparency=1), background_gray=77)
        assert pixels[0, 0].tolist() == [77, 77, 77]
        assert pixels[1, 1].tolist() == [10, 20, 30]


def test_a_cmyk_jpeg_is_not_shown_inverted() -> None:
    data = saved(Image.new("RGB", (16, 16), (250, 20, 30)).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data  # the marker that says its values are inverted
    assert difference(read_photo(data), np.full((16, 16, 3), (250, 20, 30), np.uint8)) <= 6


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_photo(data)[0, 0].tolist() == [255, 0, 0]


def swapped_profile() -> bytes:
    """sRGB with its red and green primaries exchanged: impossible to apply unnoticed."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack(">I", icc[128:132])[0], 12):
        tag = bytes(icc[at : at + 4])
        icc[at : at + 4] = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}.get(tag, tag)
    return bytes(icc)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_embedded_profile_is_applied(file_format: str) -> None:
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    options = LOSSLESS.get(file_format, {"quality": 100})
    pixels = read_photo(saved(image, file_format, icc_profile=swapped_profile(), **options))
    assert difference(pixels[:1, :1], np.array([[[100, 200, 50]]], np.uint8)) <= 2


def test_srgb_itself_and_a_damaged_profile_change_nothing() -> None:
    image = drawing()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (srgb, b"no profile at all" * 20):
        data = saved(image, "PNG", icc_profile=icc)
        assert np.array_equal(read_photo(data), np.asarray(image))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1)])
def test_a_photo_one_pixel_wide_is_a_photo(size: tuple[int, int]) -> None:
    for file_format in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"):
        photo = read_photo(saved(Image.new("RGB", size, "white"), file_format))
        assert photo.shape == (size[1], size[0], 3)
        squares = [np.zeros((3, side, side), np.uint8) for side in (100, 70)]
        write_squares(photo, squares)
        assert all((square >= 254).all() for square in squares)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(PhotoError, match=r"empty \(0 bytes\)"):
        read_photo(b"")


def test_a_file_that_is_no_image_is_refused_with_its_beginning() -> None:
    with pytest.raises(PhotoError, match=r"Not an image .*JPEG.*begins with b'<html>"):
        read_photo(b"<html>not found</html>")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.7, 0.95])
def test_a_truncated_file_is_refused(file_format: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    data = saved(Image.fromarray(noise), file_format)
    with pytest.raises(PhotoError, match=r"truncated|damaged"):
        read_photo(data[: int(len(data) * kept)])


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_half_jpeg_with_an_end_marker_is_not_half_decoded(options: dict[str, object]) -> None:
    data = saved(drawing(200, 200), "JPEG", **options)
    with pytest.raises(PhotoError, match=r"truncated|damaged"):
        read_photo(data[: len(data) * 3 // 4] + b"\xff\xd9")


def test_bytes_after_a_jpeg_or_padding_within_do_no_harm() -> None:
    data = saved(drawing(), "JPEG")
    assert np.array_equal(read_photo(data + b"a phone's own data"), read_photo(data))
    assert np.array_equal(read_photo(data[:-2] + b"\0\0\0" + data[-2:]), read_photo(data))


def test_a_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 6_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000)))
    with pytest.raises(PhotoError, match=r"120\.0 megapixels.*limit is 100 .*max_megapixels"):
        read_photo(bomb + chunk(b"IEND", b""))
    with pytest.raises(PhotoError, match=r"limit is 0\.001"):
        read_photo(saved(drawing(), "GIF"), max_megapixels=0.001)


def test_floating_point_pixels_are_refused_with_the_remedy() -> None:
    data = saved(Image.fromarray(np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)), "TIFF")
    with pytest.raises(PhotoError, match=r"32-bit floating-point samples.*convert it to JPEG or PNG"):
        read_photo(data)


@pytest.mark.parametrize("size", [(300, 200), (1024, 1024), (1200, 900), (2100, 1600)])
def test_the_squares_look_like_pillows_antialiased_bilinear(size: tuple[int, int]) -> None:
    grain = np.random.default_rng(1).normal(0, 6, (size[1], size[0], 3))
    photo = np.clip(np.asarray(drawing(*size)) + grain, 0, 255).astype(np.uint8)
    squares = [np.empty((3, side, side), np.uint8) for side in (1008, 768, 518)]
    write_squares(photo, squares)
    for square in squares:
        side = square.shape[1]
        pillow = Image.fromarray(photo).resize((side, side), Image.Resampling.BILINEAR)
        apart = np.abs(square.astype(np.int16) - np.asarray(pillow).transpose(2, 0, 1))
        assert apart.mean() <= 0.7
        assert apart.max() <= 26  # at the rim of the disc, which nothing has smoothed
