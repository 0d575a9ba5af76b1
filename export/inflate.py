"""`inflate`: a height field blown up from the mask's silhouette, then lit; no weights."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.filters import gaussian_blur
from export.shading import SIDE, Shadow, standardise

SIGMAS = (0.012, 0.024, 0.048, 0.096)  # widths at which the silhouette is felt, in photo sides
DETAIL = 0.30  # share of the photo's own relief beside the silhouette's


class Inflate(Shadow):
    """Geometry from a silhouette, round like a ball where it is narrow (heads), like a cushion where it is wide.

    The photo's mid-frequency brightness adds relief to the face ("dark is deep", Langer and Bülthoff, 2000).
    """

    def heights(self, pixels: Tensor, alpha: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Blow up the silhouette and add the photo's relief; the silhouette alone casts shadows."""
        silhouette = standardise(inflate(alpha), mask)
        return standardise(silhouette + DETAIL * brightness_relief(pixels, mask), mask), silhouette


def inflate(alpha: Tensor) -> Tensor:
    """Blow up a silhouette [B,1,288,288]; float [B,1,518,518].

    At depth d behind a straight rim, 2·(Gσ∗α) − 1 = erf(d/σ√2) rises from 0 to 1 within about σ. Summed over octaves
    of σ with weights √σ it grows as √d, the profile of a ball at its rim, up to the largest σ and is level beyond.
    """
    height = torch.zeros_like(alpha[:, :, :144, :144])
    half = F.avg_pool2d(alpha, 2)
    for sigma in SIGMAS:
        blurred = gaussian_blur(half, sigma * 144, border="replicate")
        height = height + sigma**0.5 * (2.0 * blurred - 1.0).clamp(min=0.0)
    smooth = gaussian_blur(height, 4.0, border="replicate")  # rounds the ridge along the middle
    # Linear enlargement leaves facets that light makes visible; a blur of one small pixel removes them.
    return gaussian_blur(F.interpolate(smooth, (SIDE, SIDE), mode="bilinear", align_corners=False), 4.0)


def brightness_relief(pixels: Tensor, mask: Tensor) -> Tensor:
    """Mid-frequency brightness of the photo within the mask, compressed, float [B,1,518,518] in −0.5 to 0.5."""
    red, green, blue = (pixels.float() / 255.0).chunk(3, dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    bright = 4.0 * luma / (luma + 0.5)  # compresses contrast toward the lights (Naka and Rushton, 1966)
    # Blurs that leave the ground out (normalised convolution), so that the silhouette's edge is no relief.
    weight = mask + 1e-2
    fine = gaussian_blur(bright * weight, 5.0) / gaussian_blur(weight, 5.0)
    half = F.avg_pool2d(torch.cat((bright * weight, weight), dim=1), 2)
    blurred = gaussian_blur(half, 16.0)
    coarse = F.interpolate(blurred[:, :1] / blurred[:, 1:], (SIDE, SIDE), mode="bilinear", align_corners=False)
    detail = 2.0 * (fine - coarse)
    return 0.5 * detail / torch.sqrt(1.0 + detail * detail) * mask
