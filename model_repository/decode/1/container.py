"""Tells by its first bytes what a file is and who may decode it, before any decoder sees it."""

from __future__ import annotations

import struct

from refusals import PhotoError, damaged, truncated, unsupported

NAMES = {
    "WEBP": "WebP",
    "HEIF": "HEIC; a server with the extra heif reads it",
}  # as people write them; the others are written as Pillow has them

_READABLE = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)
_UNREADABLE = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop document, PSD"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"gimp xcf", "GIMP image, XCF"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS texture"),
    (b"\0\0\x01\0", "Windows icon"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"IIU\0", "camera raw, RW2"),
    (b"IIRO", "camera raw, ORF"),
    (b"IIRS", "camera raw, ORF"),
    (b"MMOR", "camera raw, ORF"),
    (b"FUJIFILMCCD-RAW", "camera raw, RAF"),
    (b"FOVb", "camera raw, X3F"),
    (b"\0MRM", "camera raw, MRW"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_TRUNCATED_FROM = 16  # bytes: with fewer nothing that begins like an image can be one


def identify(data: bytes, readable: tuple[str, ...]) -> str:
    """The format's name as Pillow has it, one of `readable`.

    Raises PhotoError: nothing that is known, a kind that is not read, or one that ends before its header does.
    """
    if not data:
        raise PhotoError("The image is empty (0 bytes): check that its path names a complete file.")
    kind = _kind(data, readable)
    if len(data) < _TRUNCATED_FROM:
        raise truncated(kind, data)
    if kind == "JPEG":
        _check_jpeg(data)
    elif kind == "WEBP" and 8 + struct.unpack_from("<I", data, 4)[0] > len(data):
        raise truncated("WebP", data)
    if kind not in readable:
        raise unsupported(NAMES.get(kind, kind))
    return kind


def _kind(data: bytes, readable: tuple[str, ...]) -> str:
    for signature, kind in _UNREADABLE:
        if data.startswith(signature):
            raise unsupported(kind)
    for signature, kind in _READABLE:
        if data.startswith(signature):
            return kind
    if data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b""):
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _kind_by_brand(data)
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"<svg" in start:
        raise unsupported("drawing, SVG")
    raise PhotoError(
        f"Not an image that can be read ({', '.join(readable)}): begins with {data[:12]!r}; "
        f"convert it to one of these formats."
    )


def _kind_by_brand(data: bytes) -> str:
    """An ISO base media file says in its first box what it is, and then what else it can be read as."""
    length = min(struct.unpack_from(">I", data)[0], 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length, 4))]
    for brand in brands:
        if brand in (b"avif", b"avis"):
            return "AVIF"
        if brand == b"crx ":
            raise unsupported("camera raw, CR3")
        if brand == b"jxl ":
            raise unsupported("JPEG XL")
    if _HEIF_BRANDS & set(brands):
        return "HEIF"
    raise unsupported("MP4 or QuickTime film")


def _check_jpeg(data: bytes) -> None:
    """Read the markers up to the frame's. Raises PhotoError for a kind of JPEG that is not read."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 9 < len(data):
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # padding and what has no length
            at += 1 if marker == 0xFF else 2
        elif marker in (0xD9, 0xDA):
            raise damaged("JPEG", "it has no frame header")
        elif marker == 0xF7:
            raise unsupported("JPEG-LS")
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            precision, components = data[at + 4], data[at + 9]
            if precision != 8:
                raise unsupported(f"JPEG of {precision} bits a sample")
            if marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
                raise unsupported("lossless or hierarchical JPEG")
            if components not in (1, 3, 4):
                raise unsupported(f"JPEG of {components} components")
            return
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise truncated("JPEG", data)
