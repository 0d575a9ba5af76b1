"""Reads radiance maps from .hdr (Radiance RGBE) and .exr (OpenEXR) files, and refuses what cannot light a person."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from client.light.distributions import SettingsError
from client.light.radiance_map import Floats, Pixels, reduced

ENDINGS = (".hdr", ".exr")
_LEAST_ROWS = 4
_MOST_COLUMNS = 1024  # a larger map is reduced to it: 0.35° per pixel
_EXTRA = "pip install 'relight-triton[environments]'"


def read_map(file: Path) -> Floats:
    """Read a map, linear Rec. 709 as radiance_map describes it, float64 [H,W,3] with at most 1024 columns.

    Negative values count as 0. Other colour primaries that an .exr may name are taken as Rec. 709.
    Raises SettingsError, a sentence that names the file and the remedy.
    """
    pixels = _read_exr(file) if file.suffix.lower() == ".exr" else _read_hdr(file)
    height, width, _ = pixels.shape
    if width != 2 * height or height < _LEAST_ROWS:
        raise SettingsError(
            f"{file} is {width}x{height}; an equirectangular map is twice as wide as high, with at least"
            f" {_LEAST_ROWS} rows: export it so, or leave it out"
        )
    if wrong := int(np.count_nonzero(~np.isfinite(pixels))):
        raise SettingsError(
            f"{file} has {wrong} values that are infinite or not numbers; replace them, for instance by the largest"
            " finite one, or leave the map out"
        )
    lit = np.maximum(pixels, 0)
    radiance = reduced(lit, _MOST_COLUMNS) if width > _MOST_COLUMNS else lit.astype(np.float64)
    if not radiance.any():
        raise SettingsError(f"{file} is black and gives no light; leave it out")
    return radiance


def digest_of(file: Path) -> str:
    """The hex digits of the SHA-256 of a file's bytes. Raises SettingsError, a sentence."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(file, str(error.strerror)) from error


def _read_hdr(file: Path) -> Pixels:
    try:
        import cv2
    except ImportError as error:
        raise SettingsError(f"{file} needs the extra `environments`: {_EXTRA}") from error
    try:
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _unreadable(file, "OpenCV refuses it") from error
    if pixels is None or pixels.ndim != 3 or pixels.dtype != np.float32:
        raise _unreadable(file, "it is no Radiance picture")
    return pixels[:, :, ::-1]  # OpenCV's order is blue, green, red


def _read_exr(file: Path) -> Pixels:
    try:
        import OpenEXR
    except ImportError as error:
        raise SettingsError(f"{file} needs the extra `environments`: {_EXTRA}") from error
    try:
        with OpenEXR.File(str(file), separate_channels=True) as picture:
            channels = {name: channel.pixels for name, channel in picture.channels().items()}
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise _unreadable(file, "it is no whole OpenEXR picture") from error
    for layer in sorted((name[:-1] for name in channels if name.endswith("R")), key=len):
        colors = [channels[layer + color] for color in "RGB" if layer + color in channels]
        if len({color.shape for color in colors}) == 1 and len(colors) == 3:
            return np.stack(colors, -1)
    raise SettingsError(f"{file} has the channels {', '.join(channels)} and not R, G and B; save it as RGB")


def _unreadable(file: Path, reason: str) -> SettingsError:
    return SettingsError(f"{file} cannot be read ({reason}); save it again as .hdr or .exr, or leave it out")
