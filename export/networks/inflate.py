"""`inflate`: a height field blown up from the mask's silhouette, then lit; no weights."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.filters import gaussian_blur, gaussian_matrix, halve
from export.networks.pattern_bank import PatternBank
from export.networks.shading import SIDE, Shadow, standardise

ALPHA_SIDE = 288
SIGMAS = (0.012, 0.024, 0.048, 0.096)  # widths at which the silhouette is felt, in photo sides
ROUNDING = 0.029  # width of the last blur, in photo sides
DETAIL = 0.30  # share of the photo's own relief beside the silhouette's


class Inflate(Shadow):
    """Geometry from a silhouette, round like a ball where it is narrow (heads), like a cushion where it is wide.

    The photo's mid-frequency brightness adds relief to the face ("dark is deep", Langer and Bülthoff, 2000).
    """

    octaves: Tensor
    rounding: Tensor
    surround: Tensor

    def __init__(self, patterns: PatternBank) -> None:
        """As every shadow network; the blurs are kept as matrices."""
        super().__init__(patterns)
        octaves = [gaussian_matrix(share * ALPHA_SIDE, ALPHA_SIDE, 2, ALPHA_SIDE // 2, "replicate") for share in SIGMAS]
        rounding = gaussian_matrix(ROUNDING * ALPHA_SIDE, ALPHA_SIDE, 2, SIDE, "replicate")
        self.register_buffer("octaves", torch.stack(octaves), persistent=False)
        self.register_buffer("rounding", rounding, persistent=False)
        self.register_buffer("surround", gaussian_matrix(32.0, SIDE, 14, SIDE), persistent=False)

    def heights(self, pixels: Tensor, alpha: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Blow up the silhouette and add the photo's relief; the silhouette alone casts shadows."""
        silhouette = standardise(self.inflate(alpha), mask)
        return standardise(silhouette + DETAIL * self.brightness_relief(pixels, mask), mask), silhouette

    def inflate(self, alpha: Tensor) -> Tensor:
        """Blow up a silhouette [B,1,288,288]; float [B,1,518,518].

        At depth d behind a straight rim, 2·(Gσ∗α) − 1 = erf(d/σ√2) rises from 0 to 1 within about σ. Summed over
        octaves of σ with weights √σ it grows as √d, the profile of a ball at its rim, up to the largest σ and is level
        beyond. A last blur, which also enlarges, rounds the ridge along the middle.
        """
        half = halve(alpha)
        height = torch.zeros_like(half)
        for share, blur in zip(SIGMAS, self.octaves, strict=True):
            height = height + share**0.5 * (2.0 * (blur @ half @ blur.T) - 1.0).clamp(min=0.0)
        return self.rounding @ height @ self.rounding.T

    def brightness_relief(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Mid-frequency brightness of the photo within the mask, compressed, float [B,1,518,518] in −0.5 to 0.5."""
        red, green, blue = (pixels.float() / 255.0).chunk(3, dim=1)
        luma = 0.299 * red + 0.587 * green + 0.114 * blue
        bright = 4.0 * luma / (luma + 0.5)  # compresses contrast toward the lights (Naka and Rushton, 1966)
        # Blurs that leave the ground out (normalised convolution), so that the silhouette's edge is no relief.
        weight = mask + 1e-2
        half = halve(torch.cat((bright * weight, weight), dim=1))
        near = gaussian_blur(half, 2.4)
        fine = F.interpolate(near[:, :1] / near[:, 1:], (SIDE, SIDE), mode="bilinear", align_corners=False)
        far = self.surround @ F.avg_pool2d(half, 7) @ self.surround.T
        detail = 2.0 * (fine - far[:, :1] / far[:, 1:])
        return 0.5 * detail / torch.sqrt(1.0 + detail * detail) * mask
