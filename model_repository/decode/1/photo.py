"""Turns an image file's bytes into upright sRGB pixels.

Three libraries, chosen by hand because none does it all fast: simplejpeg reads a JPEG in 40 % of Pillow's time, OpenCV
a PNG in 70 %, and 16-bit colour whole; Pillow reads everything else.
"""

import struct
import warnings
from functools import lru_cache
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

Pixels = npt.NDArray[np.uint8]

cv2.setNumThreads(1)  # the server runs one instance per core; OpenCV's own pool would fight it
Image.MAX_IMAGE_PIXELS = None  # max_megapixels decides, with a sentence of its own
Image.init()

FORMATS = tuple(
    name
    for name in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF")
    if name in Image.OPEN  # AVIF came to Pillow with 11.3
)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"GIF8")
_ORIENTING_KEYS = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


class PhotoError(ValueError):
    """The bytes are no usable photo. The message is one sentence for the person who sent them."""


def read_photo(data: bytes, max_megapixels: float = 100.0, background_gray: int = 128) -> Pixels:
    """Decode a file as a viewer would show it.

    data: a JPEG, PNG, WebP, BMP, TIFF, GIF (first frame) or AVIF file.
    background_gray: 0-255, what shows through transparent pixels.
    Returns uint8 [H, W, 3], sRGB, EXIF orientation applied, embedded ICC profile applied, 16-bit
    samples rounded to the nearest 8-bit value.
    Raises PhotoError for an empty, truncated, damaged, too large or unsupported file. The size is
    judged by the header, before a pixel is allocated.
    """
    header = _probe(data, max_megapixels)
    try:
        pixels = _decode_ordinary(data, header)
        if pixels is None:
            pixels = _decode_unusual(data, header, background_gray)
        # Pillow and OpenCV both turn a TIFF while they decode it.
        return pixels if header.format == "TIFF" else _upright(pixels, _orientation(data, header))
    except PhotoError:
        raise
    except Exception as error:  # decoders meet hostile bytes: whatever they raise is this file's
        raise _decoder_error(data, header.format, error) from error


def _probe(data: bytes, max_megapixels: float) -> Image.Image:
    """Read the header alone (20-40 µs) and refuse what must not be decoded."""
    if not data:
        raise PhotoError("The image is empty (0 bytes): check that its path names a complete file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd tag is no reason to write to the server's log
            header = Image.open(BytesIO(data), formats=FORMATS)
    except Exception as error:
        if data.startswith(_SIGNATURES) or data[4:8] == b"ftyp":
            raise PhotoError(
                f"The file is truncated or damaged: it begins like an image but its header cannot "
                f"be read from {len(data):,} bytes; transfer or save it again."
            ) from error
        raise PhotoError(
            f"Not an image that can be read ({', '.join(FORMATS)}): begins with {data[:12]!r}; "
            f"convert it to one of these formats."
        ) from error
    width, height = header.size
    megapixels = width * height / 1e6
    if megapixels > max_megapixels:
        raise PhotoError(
            f"The image has {megapixels:.1f} megapixels ({width} x {height}); the limit is "
            f"{max_megapixels:g} (parameter max_megapixels of model decode)."
        )
    return header


def _decode_ordinary(data: bytes, header: Image.Image) -> Pixels | None:
    """The two cases that nearly every photo is, each with the fastest library; None for others.

    Both libraries give the very pixels that Pillow does. 1024², one core: JPEG 3.1 ms by
    simplejpeg, 6.6 by OpenCV, 7.6 by Pillow; PNG 23 ms by OpenCV, 34 by Pillow.
    """
    icc = header.info.get("icc_profile")
    if header.mode != "RGB" and not (header.mode == "L" and not icc):
        return None
    if header.format in ("JPEG", "MPO"):
        try:
            pixels = np.asarray(simplejpeg.decode_jpeg(data, "RGB", strict=True), np.uint8)
        except ValueError as error:
            if "premature end" in str(error).lower():
                raise _decoder_error(data, "JPEG", EOFError()) from error
            return None  # a harmless oddity of some cameras, or real damage: Pillow will tell
    elif header.format == "PNG" and _is_plain_png(data, header):
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        plain = _without_profile(data) if icc else data
        decoded = cv2.imdecode(np.frombuffer(plain, np.uint8), flags)
        if decoded is None:
            return None  # damaged: Pillow names the cause
        pixels = np.asarray(decoded, np.uint8)
    else:
        return None
    transform = _srgb_transform(icc, "RGB") if icc else None
    if transform is not None:
        pixels = np.asarray(transform.apply(Image.fromarray(pixels)))
    return pixels


def _is_plain_png(data: bytes, header: Image.Image) -> bool:
    """Eight bits, opaque, upright: what OpenCV reads as Pillow does."""
    return _png_depth(data) == 8 and "transparency" not in header.info and not _may_be_turned(data, header)


def _without_profile(png: bytes) -> bytes:
    """Cut the iCCP chunk out: libpng would write a line to the server's log for many of them."""
    kind = png.index(b"iCCP")
    (length,) = struct.unpack(">I", png[kind - 4 : kind])
    return png[: kind - 4] + png[kind + length + 8 :]  # 8: the kind and the checksum


def _may_be_turned(data: bytes, png: Image.Image) -> bool:
    """Whether a PNG may hold an orientation; its eXIf chunk may lie behind the pixels."""
    return bool(_ORIENTING_KEYS & png.info.keys()) or b"eXIf" in data


def _png_depth(data: bytes) -> int:
    """Bits per sample, in the header chunk that every PNG begins with."""
    return data[24]


def _decode_unusual(data: bytes, image: Image.Image, background_gray: int) -> Pixels:
    """Every other format and mode, by Pillow: [H, W, 3] sRGB, not yet turned (TIFF: turned)."""
    icc = image.info.get("icc_profile")
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise PhotoError(
            f"The {image.format} holds pixels of a kind (Pillow mode {image.mode}) whose black and "
            f"white are not defined for a photo; save it as 8- or 16-bit RGB."
        )
    image = _rounded_to_8_bits(data, image)
    alpha: Image.Image | None = None
    if image.has_transparency_data:
        if image.mode == "LA":
            image, alpha = image.getchannel("L"), image.getchannel("A")
        else:
            image = image.convert("RGBA")
            alpha = image.getchannel("A")
    if image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    image = _to_srgb(image, icc)
    if alpha is not None:
        background = Image.new("RGB", image.size, (background_gray,) * 3)
        background.paste(image, mask=alpha)  # rounds; blending follows the profile, as in a viewer
        image = background
    return np.asarray(image)


def _rounded_to_8_bits(data: bytes, image: Image.Image) -> Image.Image:
    """Load the pixels; samples deeper than 8 bits are rounded (Pillow itself clips or cuts them).

    A 16-bit gray value comes whole from Pillow, 16-bit colour only from OpenCV.
    """
    bits = _bits_per_sample(data, image)
    transparent = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        deep = np.asarray(image).astype(np.uint32)
        if _white_is_zero(image):
            deep = ((1 << bits) - 1 - deep).astype(np.uint32)
        matches = deep == transparent if isinstance(transparent, int) else None
    elif bits == 16 and image.mode in ("RGB", "RGBA", "LA"):
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None or decoded.dtype != np.uint16:
            image.load()  # raises, with the cause, for a damaged file
            return image
        swap = cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGB
        deep = cv2.cvtColor(decoded, swap).astype(np.uint32)
        is_key = isinstance(transparent, tuple) and deep.shape[2] == 3
        matches = (deep == np.array(transparent)).all(-1) if is_key else None
    else:
        image.load()
        return image
    peak = (1 << bits) - 1
    rounded = Image.fromarray(((deep * 255 + peak // 2) // peak).astype(np.uint8))
    if matches is not None:
        rounded.putalpha(Image.fromarray(np.where(matches, 0, 255).astype(np.uint8)))
    return rounded


def _bits_per_sample(data: bytes, image: Image.Image) -> int:
    """Bits per sample as the file's header has it; 8 where the format knows nothing else."""
    if image.format == "PNG":
        return _png_depth(data)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2.get(ExifTags.Base.BitsPerSample, 8)
        return int(max(bits) if isinstance(bits, tuple) else bits)
    return 8


def _white_is_zero(image: Image.Image) -> bool:
    """A TIFF may count from white to black; Pillow inverts such pixels itself only at 8 bits."""
    tag = ExifTags.Base.PhotometricInterpretation
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(tag) == 0


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Apply the profile to an L, RGB or CMYK image, or convert it without one: always RGB."""
    transform = _srgb_transform(icc, image.mode) if icc else None
    if transform is not None:
        return transform.apply(image)
    if image.mode == "RGB":
        return image
    image = image.convert("RGB")
    transform = _srgb_transform(icc, "RGB") if icc else None  # gray pixels, colour profile
    return image if transform is None else transform.apply(image)


@lru_cache(maxsize=64)
def _srgb_transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None for a damaged profile, another mode's, or sRGB itself.

    sRGB goes by many names, so it is known by what it does: no colour of a 17³ grid moves by more
    than one level.
    """
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None
    if mode == "RGB":
        levels = np.rint(np.linspace(0, 255, 17)).astype(np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(17, -1, 3)
        moved = np.asarray(transform.apply(Image.fromarray(grid))).astype(np.int16) - grid
        if np.abs(moved).max() <= 1:
            return None
    return transform


def _orientation(data: bytes, image: Image.Image) -> int:
    """The EXIF (or XMP) orientation, 1-8; 1 where there is none or it cannot be read."""
    if image.format == "PNG" and not _may_be_turned(data, image):
        return 1  # getexif() would decode the whole file to look behind the pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return 1
    return value if value in range(1, 9) else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo one of the eight EXIF orientations: [H, W, 3] → contiguous [H, W, 3] or [W, H, 3]."""
    if orientation >= 5:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # OpenCV: 1 mirrors, 0 upends, -1 does both
    if orientation in flips:
        pixels = np.asarray(cv2.flip(pixels, flips[orientation]), np.uint8)
    return pixels


def _decoder_error(data: bytes, file_format: str | None, error: Exception) -> PhotoError:
    reason = str(error)
    if isinstance(error, EOFError) or "truncated" in reason.lower() or "not enough" in reason:
        return PhotoError(
            f"The file is truncated: the {file_format} ends after {len(data):,} bytes, before its "
            f"last pixel; transfer or save it again."
        )
    return PhotoError(f"The file is damaged: the {file_format} cannot be decoded ({reason}); save it again.")
