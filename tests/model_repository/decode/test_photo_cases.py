"""What decode makes of files that it once read wrong, and of the kinds that it does not read."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from photo import FORMATS, PhotoError, Pixels, read_photo
from PIL import Image, ImageCms

from tests.fuzz.samples import saved
from tests.rig.places import REPOSITORY, SAMPLES
from tests.rig.tiffs import tiff

PHOTOS = Path(__file__).parent / "photos"
UNREADABLE = r"^This kind of file \(.*{}.*\) cannot be read: convert it to JPEG or PNG\.$"


def photo_of(name: str, **options: Any) -> Pixels:
    return read_photo((PHOTOS / name).read_bytes(), **options)


def raw_samples(name: str, depth: npt.DTypeLike, count: int) -> npt.NDArray[np.float64]:
    """The uncompressed samples of a file of ours, 0-1 [96, 120, S]."""
    size = 96 * 120 * count
    samples = np.frombuffer((PHOTOS / name).read_bytes(), depth, size, 288).reshape(96, 120, count)
    return samples / np.iinfo(depth).max


def blended(colors: npt.NDArray[np.float64], alpha: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 255 * colors * alpha + 128 * (1 - alpha)


def apart(pixels: Pixels, expected: npt.NDArray[Any]) -> float:
    return float(np.abs(pixels - expected.astype(float)).max())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken_apng_2frames.png", "The file is damaged"),
        ("apng_short_512.png", "The file is truncated"),
        ("j12.jpg", UNREADABLE.format("JPEG of 12 bits")),
        ("camera.dng", UNREADABLE.format("camera raw, DNG")),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_cause(name: str, sentence: str) -> None:
    with pytest.raises(PhotoError, match=sentence):
        photo_of(name)


@pytest.mark.parametrize("name", ["apng16_rgb.png", "apng16_rgba.png"])
def test_an_animation_gives_the_pixels_of_its_still(name: str) -> None:
    assert np.array_equal(photo_of(name), photo_of("still16_rgba.png"))
    assert photo_of(name)[0, 0].tolist() == [200, 20, 40]


def test_planes_of_16_bits_and_samples_without_meaning_give_the_colours_alone() -> None:
    expected = 255 * raw_samples("unspec16.tif", "<u2", 4)[..., :3]
    for name in ("planar16_strip.tif", "planar16_one.tif", "unspec16.tif", "rgb_plus2extra16.tif"):
        assert apart(photo_of(name), expected) <= 0.5, name


def test_alpha_of_every_kind_is_blended_once() -> None:
    layers = raw_samples("assoc16.tif", "<u2", 4)
    assert apart(photo_of("assoc16.tif"), 255 * layers[..., :3] + 128 * (1 - layers[..., 3:])) <= 1.5
    gray = raw_samples("la16.tif", "<u2", 2)
    assert apart(photo_of("la16.tif"), blended(gray[..., :1].repeat(3, -1), gray[..., 1:])) <= 1.5
    ink = raw_samples("cmyka8.tif", "u1", 5)
    colors = (1 - ink[..., :3]) * (1 - ink[..., 3:4])
    assert apart(photo_of("cmyka8.tif"), blended(colors, ink[..., 4:])) <= 1.5


def test_an_empty_alpha_field_of_a_bmp_is_no_transparency() -> None:
    assert apart(photo_of("v5alpha0.bmp"), photo_of("unspec16.tif")) <= 1


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\x01", "PSD"),
        (b"%PDF-1.7", "PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08", "JPEG-LS"),
        (b"\xff\xd8\xff\xc3\0\x0b\x08\0\x08\0\x08\x03", "lossless"),
        (b"II*\0\x10\0\0\0CR\x02\0", "CR2|truncated"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01", "CR3"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "film"),
        (b"FUJIFILMCCD-RAW ", "RAF"),
        (b"IIU\0\x18", "RW2"),
    ],
)
def test_a_kind_that_is_not_read_is_named(begin: bytes, kind: str) -> None:
    with pytest.raises(PhotoError, match=f"(?s){UNREADABLE.format(kind)}|{kind}"):
        read_photo(begin + bytes(100))


def drawing(depth: npt.DTypeLike = np.uint16, count: int = 3) -> npt.NDArray[Any]:
    """[37, 53, count], every sample different."""
    peak = np.iinfo(depth).max
    smooth = np.linspace(0, peak, 37 * 53 * count).reshape(count, 37, 53).transpose(1, 2, 0)
    return ((smooth + np.random.default_rng(2).integers(0, peak, smooth.shape)) % peak).astype(depth)


def eight_bits(samples: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return samples / np.iinfo(samples.dtype).max * 255


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_of_any_layout_gives_its_colours(
    depth: npt.DTypeLike, planar: bool, tile: int, deflate: bool, order: str
) -> None:
    samples = drawing(depth, 4)
    for big in (False, True):
        data = tiff(samples, extra=(0,), planar=planar, tile=tile, deflate=deflate, order=order, big=big)
        assert apart(read_photo(data), eight_bits(samples[..., :3])) <= 0.5


def test_a_16_bit_tiff_with_lzw_gives_its_colours() -> None:
    samples = drawing()
    assert apart(read_photo(cv2.imencode(".tif", samples[..., ::-1])[1].tobytes()), eight_bits(samples)) <= 0.5


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize(("photometric", "colors"), [(0, 1), (1, 1), (2, 3), (5, 4)])
def test_extra_samples_mean_what_their_tag_says(photometric: int, colors: int, depth: npt.DTypeLike) -> None:
    samples = drawing(depth, colors + 2)
    ignored = read_photo(tiff(samples, photometric=photometric, extra=(0, 0)))
    straight = read_photo(tiff(samples, photometric=photometric, extra=(0, 2)))
    alpha = eight_bits(samples[..., -1:]) / 255
    assert apart(straight, blended(ignored / 255, alpha)) <= 1.5


@pytest.mark.parametrize(
    ("samples", "tags", "kind"),
    [
        (drawing(), {258: (32, 32, 32), 339: (3, 3, 3)}, "32-bit floating-point"),
        (drawing(), {258: (32, 32, 32)}, r"32 \+ 32 \+ 32 bits"),
        (drawing(), {339: (2, 2, 2)}, "signed whole"),
        (drawing(np.uint8), {254: (1,)}, "thumbnail"),
        (drawing(np.uint8, 1), {262: (32803,)}, "camera raw"),
        (drawing(np.uint8), {259: (34712,)}, "TIFF of 3 x 8 bits"),
        (drawing(), {259: (34712,)}, "compression 34712"),
    ],
)
def test_a_tiff_of_a_kind_that_is_not_read_is_named(
    samples: npt.NDArray[Any], tags: dict[int, tuple[int, ...]], kind: str
) -> None:
    with pytest.raises(PhotoError, match=UNREADABLE.format(kind)):
        read_photo(tiff(samples, tags=tags))


@pytest.mark.parametrize("tags", [{273: (8,)}, {273: (8, 8, 8, 8, 8, 10**6)}, {279: (8,), 259: (8,)}])
def test_a_tiff_without_all_of_its_strips_is_truncated(tags: dict[int, tuple[int, ...]]) -> None:
    with pytest.raises(PhotoError, match="The file is truncated"):
        read_photo(tiff(drawing(np.uint8), tags=tags))


def test_lab_is_read_in_its_colours() -> None:
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        photo = image.convert("RGB").resize((60, 80))
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(photo, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert lab is not None
    assert np.abs(read_photo(saved(lab, "TIFF")).astype(float) - np.asarray(photo)).mean() < 2


def test_heic_is_read() -> None:
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        photo = image.convert("RGB").resize((60, 80))
    assert "HEIF" in FORMATS
    pixels = read_photo(saved(photo, "HEIF", quality=100, chroma=444))
    assert np.abs(pixels.astype(float) - np.asarray(photo)).mean() < 3


def test_heic_is_refused_by_name_where_pillow_heif_is_not_installed(tmp_path: Path) -> None:
    file = tmp_path / "photo.heic"
    Image.new("RGB", (16, 16)).save(file, "HEIF")
    script = (
        "import sys; sys.modules['pillow_heif'] = None\n"  # as if it could not be imported
        "from photo import read_photo\nread_photo(open(sys.argv[1], 'rb').read())"
    )
    folder = REPOSITORY / "decode" / "1"
    done = subprocess.run([sys.executable, "-c", script, file], cwd=folder, capture_output=True, text=True, check=False)
    assert "(HEIC; a server with the extra heif reads it) cannot be read: convert it to JPEG or PNG." in done.stderr


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_lost_data_is_refused_in_every_mode(mode: str) -> None:
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        data = saved(image.convert(mode), "JPEG", restart_marker_blocks=50)
    with pytest.raises(PhotoError, match="truncated"):
        read_photo(data[: len(data) // 2] + b"\xff\xd9")
    lost = data.index(b"\xff\xd3", len(data) // 2)
    with pytest.raises(PhotoError, match=r"damaged: .*found marker"):
        read_photo(data[:lost] + data[data.index(b"\xff\xd6", lost) :])


def test_a_gray_jpeg_with_a_profile_is_what_pillow_sees() -> None:
    file = BytesIO()
    photo = Image.fromarray(drawing(np.uint8, 1)[..., 0])
    photo.save(file, "JPEG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert apart(read_photo(file.getvalue()), np.asarray(Image.open(file).convert("RGB"))) <= 1
