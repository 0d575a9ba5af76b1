"""Converts pixels in memory to the image files of requests, and those of answers to arrays."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.files import COLOURS, DEEPEST, WHITE

Pixels = NDArray[np.uint8]

_PNG, _PNG_DEPTH_AT, _PNG_UP = b"\x89PNG\r\n\x1a\n", 24, 2  # signature, place of the bits per value, filter
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # of PIL images


def photo_file(photo: object) -> bytes:
    """The image file of a photo in memory, which the server reads as it reads any file.

    `photo` is bytes, a PIL image, or an array or a torch tensor of sRGB values: uint8, or floating and 0 to 1, [H,W,3]
    or [3,H,W]. Raises ValueError, a sentence, for anything else.
    """
    if isinstance(photo, bytes | bytearray | memoryview):
        return bytes(photo)
    torch, pillow = sys.modules.get("torch"), sys.modules.get("PIL.Image")  # who has such an object has imported them
    if pillow is not None and isinstance(photo, pillow.Image):
        return _image_file(photo)
    if torch is not None and isinstance(photo, torch.Tensor):
        tensor: Any = photo.detach().cpu()
        photo = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    if not isinstance(photo, np.ndarray):
        raise ValueError(
            f"a photo must be a path, bytes, a PIL image, an array or a tensor, not {type(photo).__name__}"
        )
    return bitmap(_as_pixels(photo))


def _image_file(image: Any) -> bytes:
    """Encode a PIL image without a loss, with its profile and the turn that its camera noted. Raises ValueError."""
    stream, exif, profile = io.BytesIO(), image.getexif() or None, image.info.get("icc_profile")
    try:
        if image.mode not in _PNG_MODES:
            image, profile = image.convert("RGBA" if image.has_transparency_data else "RGB"), None
        image.save(stream, "PNG", compress_level=1, icc_profile=profile, exif=exif)
    except (OSError, ValueError) as error:
        raise ValueError(f"the PIL image cannot be read ({error})") from error
    return stream.getvalue()


def _as_pixels(values: NDArray[Any]) -> Pixels:
    """Convert values, uint8 or floating and 0 to 1, [H,W,3] or [3,H,W], to uint8 [H,W,3]. Raises ValueError."""
    kind, shape = values.dtype, list(values.shape)
    if values.ndim == 3 and shape[2] != 3 and shape[0] == 3:
        values = np.moveaxis(values, 0, 2)
    is_float = kind.kind == "f"
    if values.ndim != 3 or values.shape[2] != 3 or not values.size or not (is_float or kind == np.uint8):
        raise ValueError(f"a photo as an array must be uint8 or floats, [H,W,3] or [3,H,W], not {kind} {shape}")
    if not is_float:
        return values
    if not (values.min() >= 0 and values.max() <= 1):  # nor NaN
        raise ValueError(f"a photo of floats must have values from 0 to 1, not {values.min():g} to {values.max():g}")
    pixels: Pixels = np.rint(values * 255).astype(np.uint8)
    return pixels


def bitmap(pixels: Pixels) -> bytes:
    """Encode pixels, uint8 [H,W,3], as a BMP file, which needs no compression or library."""
    height, width = pixels.shape[:2]
    stride = (3 * width + 3) // 4 * 4  # every row starts at a multiple of four bytes
    body = np.zeros((height, stride), np.uint8)
    body[:, : 3 * width] = pixels[::-1, :, ::-1].reshape(height, 3 * width)  # bottom up, blue first
    file_header = struct.pack("<2sIHHI", b"BM", 54 + body.size, 0, 0, 54)
    info_header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, body.size, 0, 0, 0, 0)
    return file_header + info_header + body.tobytes()


def decode(image: bytes | memoryview) -> NDArray[Any]:
    """Decode an image file to uint8 or uint16, [H,W,3] or, if it is gray, [H,W].

    Raises ImportError, a sentence, without Pillow.
    """
    if bytes(image[:8]) == _PNG and image[_PNG_DEPTH_AT] == 16:
        return _decode_deep(image)
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Pillow is missing, which decodes the pictures; run `pip install pillow`, or install relight-triton[client]"
        ) from error
    return np.array(Image.open(io.BytesIO(image)))


def _decode_deep(image: bytes | memoryview) -> NDArray[np.uint16]:
    """Decode a PNG of 16 bits as the server writes it, which Pillow would cut to 8: each row less the one above.

    Raises ValueError for another PNG.
    """
    width, height, _, color = struct.unpack_from(">IIBB", image, _PNG_DEPTH_AT - 8)
    channels, at, body = {0: 1, 2: 3}.get(color, 0), len(_PNG), []
    while at < len(image):
        size, kind = struct.unpack_from(">I4s", image, at)
        if kind == b"IDAT":
            body.append(image[at + 8 : at + 8 + size])
        at += size + 12
    rows = np.frombuffer(zlib.decompress(b"".join(body)), np.uint8).reshape(height, -1)
    if rows.shape[1] != 1 + 2 * channels * width or (rows[:, 0] != _PNG_UP).any():
        raise ValueError("the server sent a PNG of an unknown kind; client and server are of different versions")
    values = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint8).view(">u2").astype(np.uint16)
    return values.reshape((height, width, 3) if channels == 3 else (height, width))


def read_picture(name: str, image: bytes | memoryview) -> NDArray[Any]:
    """Decode a file that the server made in the format `png`: pictures and masks as `decode` does, maps as float32.

    `alpha` [H,W] is 0–1, `normal` [H,W,3] has length 1, `depth` [H,W] is in standard deviations of the person, and
    `shading` [H,W,3] is linear. Raises ImportError and ValueError as `decode` does.
    """
    pixels = decode(image)
    if name in COLOURS or name == "mask":
        return pixels
    if name == "shading":
        return (pixels / np.float32(WHITE)).astype(np.float32)
    share: NDArray[Any] = pixels / np.float32(np.iinfo(pixels.dtype).max)
    if name == "depth":
        return (share * 2 - 1) * np.float32(DEEPEST)
    if name == "normal":
        share = share * 2 - 1
        share = share / np.linalg.norm(share, axis=-1, keepdims=True)
    return share


def viewable(name: str, picture: NDArray[Any]) -> Pixels:
    """One picture as `read_picture` gives it, as pixels to look at, uint8 [H,W,3] or [H,W]; shading is clipped at 1."""
    if picture.dtype == np.uint8:
        return picture
    share = picture
    if name == "shading":
        share = picture ** (1 / 2.2)
    elif name in ("normal", "depth"):
        share = (picture / (DEEPEST if name == "depth" else 1) + 1) / 2
    pixels: Pixels = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return pixels
