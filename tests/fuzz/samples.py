"""Sound photos of every kind that decode may meet, small, for the fuzzer to damage."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from photo import FORMATS
from PIL import Image, ImageCms

from tests.rig.places import SAMPLES
from tests.rig.tiffs import tiff

PHOTOS = Path(__file__).parents[1] / "model_repository" / "decode" / "photos"


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The file's bytes, by Pillow."""
    file = BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk with the right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_samples() -> dict[str, bytes]:
    """Name → file; the name begins with the format."""
    with Image.open(SAMPLES / "astronaut.png") as image:
        rgb = image.convert("RGB").crop((160, 20, 320, 180)).resize((48, 40))
    rgba = rgb.copy()
    rgba.putalpha(Image.linear_gradient("L").resize(rgb.size))
    frames = [rgb, rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.asarray(rgba).astype(np.uint16) * 257
    samples = {
        "JPEG": saved(rgb, "JPEG", exif=exif, icc_profile=srgb),
        "JPEG progressive": saved(rgb, "JPEG", progressive=True),
        "JPEG gray": saved(rgb.convert("L"), "JPEG"),
        "JPEG CMYK": saved(rgb.convert("CMYK"), "JPEG"),
        "JPEG restarts": saved(rgb, "JPEG", restart_marker_blocks=2),
        "PNG": saved(rgb, "PNG", icc_profile=srgb, exif=exif),
        "PNG gray": saved(rgb.convert("L"), "PNG"),
        "PNG 1 bit": saved(rgb.convert("1"), "PNG"),
        "PNG palette": saved(rgb.quantize(64), "PNG", transparency=3),
        "PNG alpha": saved(rgba, "PNG"),
        "PNG 16 bits": cv2.imencode(".png", deep[..., :3])[1].tobytes(),
        "PNG 16 bits alpha": cv2.imencode(".png", deep)[1].tobytes(),
        "PNG 16 bits gray": cv2.imencode(".png", deep[..., 0])[1].tobytes(),
        "PNG interlaced": interlaced_png(),
        "PNG animated": saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "WEBP": saved(rgb, "WEBP"),
        "WEBP lossless": saved(rgba, "WEBP", lossless=True),
        "WEBP animated": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "BMP": saved(rgb, "BMP"),
        "BMP palette": saved(rgb.quantize(256), "BMP"),
        "GIF": saved(rgb, "GIF"),
        "GIF animated": saved(rgb.quantize(32), "GIF", save_all=True, append_images=frames[1:], transparency=2),
        "TIFF 1 bit": saved(rgb.convert("1"), "TIFF", compression="group4"),
        "TIFF palette": saved(rgb.quantize(64), "TIFF", compression="packbits"),
        "TIFF CMYK": saved(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "TIFF LAB": saved(Image.merge("LAB", rgb.split()), "TIFF"),
        "TIFF alpha": saved(rgba, "TIFF", compression="tiff_adobe_deflate"),
        "TIFF JPEG": saved(rgb, "TIFF", compression="jpeg"),
        "TIFF 16 bits LZW": cv2.imencode(".tif", deep[..., :3])[1].tobytes(),
        "TIFF 16 bits gray": saved(Image.fromarray(deep[..., 0]), "TIFF", compression="tiff_adobe_deflate"),
        **{f"TIFF {name}": saved(rgb, "TIFF", compression=name) for name in ("raw", "tiff_lzw", "zstd")},
        "TIFF tiles": tiff(deep, extra=(1,), tile=16, deflate=True, order=">"),
        "TIFF planes": tiff(np.asarray(rgba), extra=(2,), planar=True, deflate=True),
        "TIFF big": tiff(deep, extra=(0,), big=True),
    }
    for file_format in ("AVIF", "HEIF"):
        if file_format in FORMATS:
            samples[file_format] = saved(rgb, file_format)
            samples[f"{file_format} alpha"] = saved(rgba, file_format)
    for file in sorted(PHOTOS.iterdir()):
        if file.suffix != ".md":
            samples[f"{file.suffix[1:].upper()} {file.stem}"] = file.read_bytes()
    return samples


def interlaced_png() -> bytes:
    """A gray gradient in seven passes, which none of our libraries writes."""
    width, height = 19, 13
    rows = b""
    for left, top, step_x, step_y in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        for y in range(top, height, step_y):
            rows += b"\0" + bytes(10 * x + 3 * y for x in range(left, width, step_x))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
