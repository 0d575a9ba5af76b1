"""Brings decoded layers to opaque sRGB: colour profiles, alpha over gray, deep samples rounded."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms


def finish(
    image: Image.Image, alpha: Image.Image | None, icc: bytes | None, background_gray: int
) -> npt.NDArray[np.uint8]:
    """An L, RGB, CMYK or LAB image with its profile, over gray where alpha (L) is not full: uint8 [H, W, 3] sRGB."""
    image = _to_srgb(image, icc)
    if alpha is not None:
        background = Image.new("RGB", image.size, (background_gray,) * 3)
        background.paste(image, mask=alpha)  # rounds; blending follows the profile, as in a viewer
        image = background
    return np.asarray(image)


def _to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Apply the profile, or convert the image without one: always RGB."""
    transform = srgb_transform(icc, image.mode) if icc else None
    if transform is None and image.mode == "LAB":
        transform = _lab_transform()
    if transform is not None:
        return transform.apply(image)
    if image.mode == "RGB":
        return image
    image = image.convert("RGB")
    transform = srgb_transform(icc, "RGB") if icc else None  # gray pixels, colour profile
    return image if transform is None else transform.apply(image)


@lru_cache(maxsize=64)
def srgb_transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
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


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    """From CIE L*a*b* under D50, as Photoshop writes it, to sRGB."""
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
