"""How a file is to be read, what is refused by its size, and what a decoded photo is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from refusals import PhotoError

from contract.photos import ANY_PHOTO, PhotoRules

Pixels = npt.NDArray[np.uint8]

# Of a JPEG that is scaled while it is decoded fewer pixels count; but a progressive one is held whole, as coefficients.
_LEAST_SHARE = 1 / 4


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: uint8 [H, W, 3], sRGB, upright: fewer than in the file where its decoder has scaled it.
        width, height: of the upright photo in the file.
    """

    pixels: Pixels
    width: int
    height: int


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    Attributes:
        max_megapixels: the most that this server decodes.
        background_gray: 0-255, what shows through transparent pixels.
        rules: of the request; those that a photo breaks by its size refuse it.
        least: width and height, upright, that are enough; None for all pixels.
    """

    max_megapixels: float = 100.0
    background_gray: int = 128
    rules: PhotoRules = ANY_PHOTO
    least: tuple[int, int] | None = None

    def check(self, width: int, height: int, eighths: int = 8) -> None:
        """Raise PhotoError where a photo of this size must not be decoded, at a scale of `eighths`."""
        try:
            self.rules.check(width, height)
        except ValueError as error:
            raise PhotoError(str(error)) from error
        megapixels = width * height / 1e6
        limit = self.max_megapixels / max((eighths / 8) ** 2, _LEAST_SHARE)
        if megapixels > limit:
            raise PhotoError(
                f"The image has {megapixels:.1f} megapixels ({width} x {height}); the limit is "
                f"{limit:g} (parameter max_megapixels of model decode): make it smaller, or serve it with a "
                "smaller --max-batch."
            )
