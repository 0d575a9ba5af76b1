"""`inflate`: a height field blown up from the mask's silhouette, then lit; no weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.filters import gaussian_blur
from export.shading import shade, slopes, standardise

SIDE = 518
SIGMAS = (0.012, 0.024, 0.048, 0.096)  # widths at which the silhouette is felt, in photo sides
DETAIL = 0.30  # share of the photo's own relief beside the silhouette's


class Inflate(nn.Module):
    """Geometry from a silhouette, round like a ball where it is narrow (heads), like a cushion where it is wide.

    The photo's mid-frequency brightness adds relief to the face ("dark is deep", Langer and Bülthoff, 2000).
    """

    def forward(self, shadow_pixels: Tensor, alpha: Tensor, aspect: Tensor, light: Tensor) -> Tensor:
        """Light a batch of silhouettes.

        Args:
            shadow_pixels: uint8 [B,3,518,518], sRGB.
            alpha: float32 [B,1,288,288], 0–1.
            aspect: float32 [B,1], width ÷ height of the photo.
            light: float32 [B,K,16].

        Returns:
            shading float16 [B,K,2,518,518]: diffuse × pattern, specular.
        """
        mask = F.interpolate(alpha, (SIDE, SIDE), mode="bilinear", align_corners=False)
        silhouette = standardise(inflate(alpha), mask)
        height = silhouette + DETAIL * brightness_relief(shadow_pixels, mask)
        diffuse, specular = shade(slopes(standardise(height, mask), aspect), light)
        return torch.stack((diffuse, specular), dim=2).half()


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
    smooth = gaussian_blur(height, 2.0, border="replicate")
    # Linear enlargement leaves facets that light makes visible; a blur of one small pixel removes them.
    return gaussian_blur(F.interpolate(smooth, (SIDE, SIDE), mode="bilinear", align_corners=False), 4.0)


def brightness_relief(pixels: Tensor, mask: Tensor) -> Tensor:
    """Mid-frequency log brightness of the photo within the mask, standardised, float [B,1,518,518]."""
    red, green, blue = (pixels.float() / 255.0).split(1, dim=1)
    bright = torch.log(0.299 * red + 0.587 * green + 0.114 * blue + 0.1)
    # Blurs that leave the ground out (normalised convolution), so that the silhouette's edge is no relief.
    weight = mask + 1e-3
    fine = gaussian_blur(bright * weight, 5.0) / gaussian_blur(weight, 5.0)
    half = F.avg_pool2d(torch.cat((bright * weight, weight), dim=1), 2)
    blurred = gaussian_blur(half, 16.0)
    coarse = F.interpolate(blurred[:, :1] / blurred[:, 1:], (SIDE, SIDE), mode="bilinear", align_corners=False)
    return torch.tanh(2.0 * (fine - coarse)) * 0.5 * mask
