"""`retinex`: albedo by multi-scale Retinex; no weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.colour import SCALE, STEPS, decoding_table, look_up, srgb_to_linear
from export.networks.filters import box_mean, cells, channel_sum, gaussian_matrix, logarithm, spatial_mean

SIDE = 768
CELL = 4  # pixels: everything smooth is computed on cells of CELL × CELL
SIGMAS = (15.0, 80.0, 250.0)  # pixels of a photo of side 1024
BRIGHTEST = 4.0  # largest gain, two stops: more would amplify the camera's noise
TAIL = 0.01  # share of the pixels clipped at each end of the stretch
SAMPLED = 5  # the percentiles are those of every fifth pixel


class Retinex(nn.Module):
    """Multi-scale Retinex (Jobson, Rahman and Woodell, 1997) with a percentile stretch per channel.

    R = mean over σ of log10(I+1) − log10(Gσ∗I+1), I being sRGB in 0–255, then each channel stretched from its 1st to
    its 99th percentile. (The usual min–max normalisation in between cancels in the stretch.) The surrounds Gσ∗I and
    their logarithms are computed on cells; the result differs from the direct formula by under 2/255.
    The photo then takes its luminance from the Retinex.
    """

    surrounds: Tensor
    logarithms: Tensor
    decoding: Tensor
    curve: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Linear enlargement blurs a little too; that is taken off the Gaussians.
        sigmas = [math.sqrt((sigma * SIDE / 1024.0) ** 2 - CELL**2 / 6.0) for sigma in SIGMAS]
        surrounds = torch.stack([gaussian_matrix(sigma, SIDE, CELL, SIDE // CELL) for sigma in sigmas])
        self.register_buffer("surrounds", surrounds, persistent=False)
        self.register_buffer("logarithms", torch.log(torch.arange(256) + 1.0), persistent=False)
        self.register_buffer("decoding", decoding_table(), persistent=False)
        self.register_buffer("curve", srgb_to_linear(torch.arange(STEPS) / SCALE), persistent=False)

    def forward(self, albedo_pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Remove the light from a batch of photos.

        Args:
            albedo_pixels: uint8 [B,3,768,768], sRGB.

        Returns:
            albedo float16 [B,3,768,768], linear light, 0–1 · residual float32 [B,1], mean |I − A·S| in linear light
            for the best smooth gray shading S.
        """
        photo = look_up(self.decoding, albedo_pixels.to(torch.int32))
        retinex = look_up(self.curve, (self.multi_scale(albedo_pixels) * SCALE + 0.5).to(torch.int32))
        albedo = keep_chromaticity(photo, retinex)
        return albedo.half(), residual(photo, albedo)

    def multi_scale(self, pixels: Tensor) -> Tensor:
        """Stretched Retinex of sRGB uint8 [B,3,768,768]; float in 0–1."""
        coarse = cells(pixels.float(), CELL)
        logs = torch.zeros_like(coarse)
        for blur in self.surrounds:
            logs = logs + logarithm(blur @ coarse @ blur.T + 1.0)
        smooth = F.interpolate(logs / len(SIGMAS), (SIDE, SIDE), mode="bilinear", align_corners=False)
        return stretch(look_up(self.logarithms, pixels.to(torch.int32)) - smooth)


def keep_chromaticity(photo: Tensor, retinex: Tensor) -> Tensor:
    """Give the photo the Retinex's luminance without leaving the gamut; linear light, float [B,3,H,W] in 0–1.

    Retinex alone turns colours gray (each channel is centred on its surround); this is the chromaticity-preserving
    variant of Petro, Sbert and Morel, "Multiscale Retinex", IPOL 2014, section 4.
    """
    gain = ((luminance(retinex) + 1e-3) / (luminance(photo) + 1e-3)).clamp(max=BRIGHTEST)
    limit = 1.0 / photo.amax(1, keepdim=True).clamp(min=1e-3)
    return photo * torch.minimum(gain, limit)


def luminance(linear: Tensor) -> Tensor:
    """Relative luminance (ITU-R BT.709) of linear RGB [B,3,H,W]: [B,1,H,W]."""
    red, green, blue = linear.chunk(3, dim=1)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def stretch(image: Tensor) -> Tensor:
    """Map each channel's 1st percentile to 0 and its 99th to 1, and clip; the percentiles are those of a sample.

    The sample's pixels lie on a slanted grid: an upright one would coincide with JPEG's blocks.
    """
    sample = image.reshape(image.shape[0], 3, -1)[:, :, ::SAMPLED]
    count = round(TAIL * int(sample.shape[2]))  # int: the size in a TorchScript trace is a tensor
    low = -torch.topk(-sample, count, dim=2).values[:, :, -1:].unsqueeze(3)
    high = torch.topk(sample, count, dim=2).values[:, :, -1:].unsqueeze(3)
    return ((image - low) / (high - low).clamp(min=1e-6)).clamp(0.0, 1.0)


def residual(image: Tensor, albedo: Tensor) -> Tensor:
    """Mean |I − A·S|, float [B,1], with S gray and smooth: the least-squares fit of I to A around each pixel.

    I and A are linear light, float [B,3,768,768]; both are compared at 1/4 of that, S is fitted at 1/16.
    """
    image, albedo = cells(image, 4), cells(albedo, 4)
    products = torch.cat((image * albedo, albedo * albedo), dim=1)
    means = box_mean(cells(products, 4), 2)
    shading = channel_sum(means[:, :3]) / (channel_sum(means[:, 3:]) + 1e-4)
    shading = F.interpolate(shading, scale_factor=4.0, mode="bilinear", align_corners=False)
    return spatial_mean(channel_sum((image - albedo * shading).abs()) / 3.0).reshape(-1, 1)
