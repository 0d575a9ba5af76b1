"""Turns an image file's bytes into upright sRGB pixels.

`container` tells by the file itself who reads it, because none does it all fast and safely: simplejpeg reads a JPEG in
40 % of Pillow's time; OpenCV a PNG in 70 %, and 16-bit colour whole, but is only given still PNGs whose checksums are
right; `tiff_layers` reads TIFFs of 16 bits or with extra samples; Pillow, which clears its buffers, all the rest.
"""

import warnings
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tiff_directory
from colors import finish, srgb_transform
from container import identify
from jpeg import fewest_eighths, read_jpeg
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError
from png_chunks import Png, read_chunks
from reading import Photo, Reading
from refusals import PhotoError, damaged, truncated, unsupported
from tiff_layers import read_layers

try:
    import pillow_heif
except ImportError:
    pass  # the extra `heif`; without it a HEIC is refused by name
else:
    pillow_heif.register_heif_opener()

__all__ = ["FORMATS", "PhotoError", "Pixels", "open_photo", "read_photo"]

Pixels = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # the server runs one instance per core; OpenCV's own pool would fight it
Image.MAX_IMAGE_PIXELS = None  # max_megapixels decides, with a sentence of its own
Image.init()

FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF")
    if name in Image.OPEN  # AVIF came to Pillow with 11.3
)
_ORIENTING_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}
_TURNED = (5, 6, 7, 8)  # orientations that exchange width and height


def read_photo(data: bytes, max_megapixels: float = 100.0, background_gray: int = 128) -> Pixels:
    """Decode all pixels of a file: those of `open_photo`."""
    return open_photo(data, Reading(max_megapixels, background_gray)).pixels


def open_photo(data: bytes, how: Reading) -> Photo:
    """Decode a file as a viewer would show it.

    data: a JPEG, PNG, WebP, BMP, TIFF, GIF or AVIF file, or a HEIC where pillow-heif is installed; of
    several pictures or pages the first. EXIF orientation and embedded ICC profile are applied, 16-bit
    samples rounded to the nearest 8-bit value.
    Raises PhotoError for an empty, truncated, damaged, too large or unsupported file, and for one that
    breaks a rule. The size is judged by the header, before a pixel is allocated.
    """
    kind = identify(data, FORMATS)
    try:
        if kind == "JPEG":
            return _open_jpeg(data, how)
        if kind == "TIFF":
            pixels = _read_tiff(data, how)
        elif kind == "PNG":
            pixels = _read_png(read_chunks(data), how)
        else:
            header = _probe(data, kind, how)
            pixels = _upright(_read_by_pillow(header, how.background_gray), _orientation(header))
    except PhotoError:
        raise
    except Exception as error:  # decoders meet hostile bytes: whatever they raise is this file's
        raise _decoder_error(data, kind, error) from error
    height, width = pixels.shape[:2]
    return Photo(pixels, width, height)


def _probe(data: bytes, kind: str, how: Reading) -> Image.Image:
    """Read the header alone (20-40 µs) and refuse what must not be decoded."""
    header = _header(data, kind)
    how.check(*header.size)
    return header


def _header(data: bytes, kind: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd tag is no reason to write to the server's log
            return Image.open(BytesIO(data), formats=(kind,))
    except Exception as error:
        if "unsupported" in str(error).lower():
            raise unsupported(f"{kind}; {error}") from error
        raise PhotoError(
            f"The file is truncated or damaged: it begins like an image but its header cannot "
            f"be read from {len(data):,} bytes; transfer or save it again."
        ) from error


def _open_jpeg(data: bytes, how: Reading) -> Photo:
    header = _header(data, "JPEG")
    orientation = _orientation(header)
    is_turned = orientation in _TURNED
    least = how.least[::-1] if how.least and is_turned else how.least
    eighths = fewest_eighths(header.size, least)
    width, height = header.size
    how.check(width, height, eighths)
    pixels = read_jpeg(data, header, how.background_gray, eighths)
    if pixels is None:
        header.draft(None, (width * eighths // 8, height * eighths // 8))
        pixels = _read_by_pillow(header, how.background_gray)
    return Photo(_upright(pixels, orientation), *((height, width) if is_turned else (width, height)))


def _read_png(png: Png, how: Reading) -> Pixels:
    """A PNG whose chunks have been checked; of an animation only its first or default picture."""
    data = png.still()
    how.check(png.width, png.height)
    header = _probe(data, "PNG", how)
    may_be_turned = b"eXIf" in png.kinds or not _ORIENTING_KEYS.isdisjoint(header.info)
    orientation = _orientation(header) if may_be_turned else 1  # getexif() would decode all to look behind the pixels
    icc = header.info.get("icc_profile")
    pixels = None
    if header.mode == "RGB" or (header.mode == "L" and not icc):
        pixels = _read_plain_png(png, icc)
    if pixels is None:
        pixels = _read_by_pillow(header, how.background_gray, png)
    return _upright(pixels, orientation)


def _read_plain_png(png: Png, icc: bytes | None) -> Pixels | None:
    """Eight bits and opaque, as nearly every PNG is: by OpenCV, which gives the very pixels that Pillow does.

    1024², one core: 23 ms by OpenCV, 34 by Pillow. None for other PNGs and where OpenCV refuses.
    """
    if png.depth != 8 or b"tRNS" in png.kinds:
        return None
    decoded = cv2.imdecode(np.frombuffer(png.bare(), np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None:
        return None
    pixels = np.asarray(decoded, np.uint8)
    transform = srgb_transform(icc, "RGB") if icc else None
    return pixels if transform is None else np.asarray(transform.apply(Image.fromarray(pixels)))


def _read_tiff(data: bytes, how: Reading) -> Pixels:
    picture = tiff_directory.read_directory(data)
    how.check(picture.width, picture.height)
    if picture.is_layered:
        image, alpha = read_layers(data, picture)
        return _upright(finish(image, alpha, picture.icc, how.background_gray), picture.orientation)
    try:
        header = _probe(data, "TIFF", how)
    except PhotoError as error:  # its directory is sound and all of it there
        raise unsupported(
            f"TIFF of {picture.samples} x {picture.bits} bits, photometric interpretation {picture.photometric}, "
            f"compression {picture.compression}"
        ) from error
    return _read_by_pillow(header, how.background_gray)  # turns a TIFF while it decodes it


def _read_by_pillow(image: Image.Image, background_gray: int, png: Png | None = None) -> Pixels:
    """Every other format and mode: [H, W, 3] sRGB, not yet turned (TIFF: turned)."""
    icc = image.info.get("icc_profile")
    if image.mode in ("I", "F", "HSV"):
        raise unsupported(f"{image.format} of Pillow's mode {image.mode}, whose black and white are not defined")
    is_bmp = image.format == "BMP"
    image = _loaded(image, png)
    alpha: Image.Image | None = None
    if image.has_transparency_data:
        if image.mode == "LA":
            image, alpha = image.getchannel("L"), image.getchannel("A")
        else:
            image = image.convert("RGBA")
            alpha = image.getchannel("A")
        if is_bmp and alpha.getextrema() == (0, 0):
            alpha = None  # a field that most writers leave empty: no viewer takes it for an invisible picture
    if image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return finish(image, alpha, icc, background_gray)


def _loaded(image: Image.Image, png: Png | None) -> Image.Image:
    """The image with its pixels, of 8 bits: deeper samples are rounded (Pillow itself clips or cuts them).

    A 12- or 16-bit gray value comes whole from Pillow, a PNG's 16-bit colour only from OpenCV, which is also the faster
    one with alpha. OpenCV refuses a PNG with too few rows; Pillow would leave the others black.
    """
    transparent = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        if png:
            png.check_pixels()
        deep = np.asarray(image).astype(np.uint32)
        matches = deep == transparent if isinstance(transparent, int) else None
    elif png and (png.depth == 16 or image.mode == "RGBA") and (samples := _png_samples(png)) is not None:
        if samples.dtype == np.uint8:
            return Image.fromarray(samples)
        deep = samples.astype(np.uint32)
        is_key = isinstance(transparent, tuple) and deep.shape[2] == 3
        matches = (deep == np.array(transparent)).all(-1) if is_key else None
    else:
        if png:
            png.check_pixels()
        image.load()
        return image
    peak = (1 << _bits(image)) - 1
    rounded = Image.fromarray(((deep * 255 + peak // 2) // peak).astype(np.uint8))
    if matches is not None:
        rounded.putalpha(Image.fromarray(np.where(matches, 0, 255).astype(np.uint8)))
    return rounded


def _png_samples(png: Png) -> npt.NDArray[Any] | None:
    """RGB or RGBA as the file has them, uint8 or uint16 [H, W, 3 or 4]; None where OpenCV refuses."""
    decoded = cv2.imdecode(np.frombuffer(png.bare(), np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.ndim != 3:
        return None
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _bits(image: Image.Image) -> int:
    """Bits a sample of a deep image: a TIFF may have 12."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(image.tag_v2[ExifTags.Base.BitsPerSample][0])
    return 16


def _orientation(image: Image.Image) -> int:
    """The EXIF (or XMP) orientation, 1-8; 1 where there is none or it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1
    return value if value in range(1, 9) else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo one of the eight EXIF orientations: [H, W, 3] → contiguous [H, W, 3] or [W, H, 3]."""
    if orientation in _TURNED:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # OpenCV: 1 mirrors, 0 upends, -1 does both
    if orientation in flips:
        pixels = np.asarray(cv2.flip(pixels, flips[orientation]), np.uint8)
    return pixels


def _decoder_error(data: bytes, kind: str, error: Exception) -> PhotoError:
    reason = str(error)
    if isinstance(error, EOFError) or "truncated" in reason.lower() or "not enough" in reason:
        return truncated(kind, data)
    if "unsupported" in reason.lower():
        return unsupported(f"{kind}; {reason}")
    if isinstance(error, UnidentifiedImageError):
        reason = "its header contradicts itself"  # Pillow would tell where in memory the file lay
    return damaged(kind, reason)
