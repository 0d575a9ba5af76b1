"""`retinex`: albedo by multi-scale Retinex; no weights."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.colour import srgb_to_linear
from export.filters import box_mean, channel_sum, spatial_mean

SIDE = 768
REDUCTIONS = {15.0: 2, 80.0: 8, 250.0: 16}  # σ in pixels of a photo of side 1024 → reduction at which it is blurred
REACH = 4.0  # σ; beyond 3 lies 0.3 % of a Gaussian, which a white wall adds to a black coat beside it
BRIGHTEST = 4.0  # two stops: what is lifted further is the camera's noise
TAIL = 0.01  # share of the pixels cut off at either end of the stretch
SAMPLED = 5  # every fifth pixel tells the stretch where the tails lie


class Retinex(nn.Module):
    """Multi-scale Retinex (Jobson, Rahman and Woodell, 1997) with a percentile stretch per channel.

    R = mean over σ of log10(I+1) − log10(Gσ∗I+1), I being sRGB in 0–255, then each channel stretched from its 1st to
    its 99th percentile. (The usual min–max normalisation in between cancels in the stretch.) The blurs run at a
    resolution at which their σ is still over 5 pixels; the result differs from the direct formula by under 2/255.
    The Retinex then lends the photo its luminance.
    """

    def forward(self, albedo_pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Remove the light from a batch of photos.

        Args:
            albedo_pixels: uint8 [B,3,768,768], sRGB.

        Returns:
            albedo float16 [B,3,768,768], linear light, 0–1 · residual float32 [B,1], mean |I − A·S| in linear light
            for the best smooth gray shading S.
        """
        image = albedo_pixels.float()
        photo = srgb_to_linear(image / 255.0)
        albedo = keep_chromaticity(photo, srgb_to_linear(multi_scale_retinex(image)))
        return albedo.half(), residual(photo, albedo)


def multi_scale_retinex(image: Tensor) -> Tensor:
    """Stretched Retinex of sRGB float [B,3,768,768] in 0–255; float in 0–1."""
    logs = torch.zeros_like(image)
    for sigma, factor in REDUCTIONS.items():
        logs = logs + torch.log(blur_reduced(image, sigma * SIDE / 1024.0, factor) + 1.0)
    return stretch(torch.log(image + 1.0) - logs / len(REDUCTIONS))


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


def blur_reduced(image: Tensor, sigma: float, factor: int) -> Tensor:
    """Gaussian blur of float [B,3,S,S] at 1/factor of its resolution, edges mirrored about the last pixel.

    Pixels are mirrored before they are averaged: the last pixel of a photo is not the last cell's centre.
    """
    # Pooling and linear enlargement blur a little themselves; take their variance off the Gaussian's.
    variance = (sigma / factor) ** 2 - (1.0 - factor**-2) / 12.0 - 1.0 / 6.0
    radius = math.ceil(REACH * math.sqrt(variance))
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * x * x / variance)
    kernel = (kernel / kernel.sum()).to(image).repeat(3, 1, 1)
    margin = radius * factor
    rows = F.avg_pool2d(F.pad(image, (0, 0, margin, margin), mode="reflect"), (factor, 1))
    rows = F.conv2d(rows, kernel.unsqueeze(3), groups=3)
    cells = F.avg_pool2d(F.pad(rows, (margin, margin, 0, 0), mode="reflect"), (1, factor))
    cells = F.conv2d(cells, kernel.unsqueeze(2), groups=3)
    return F.interpolate(cells, image.shape[2:], mode="bilinear", align_corners=False)


def stretch(image: Tensor) -> Tensor:
    """Map each channel's 1st percentile to 0 and its 99th to 1, and clip; the percentiles are those of a sample.

    The sample's pixels lie on a slanted grid, row after row: an upright one would fall in step with JPEG's blocks.
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
    image, albedo = F.avg_pool2d(image, 4), F.avg_pool2d(albedo, 4)
    products = torch.cat((image * albedo, albedo * albedo), dim=1)
    means = box_mean(F.avg_pool2d(products, 4), 2)
    shading = channel_sum(means[:, :3]) / (channel_sum(means[:, 3:]) + 1e-4)
    shading = F.interpolate(shading, scale_factor=4.0, mode="bilinear", align_corners=False)
    return spatial_mean(channel_sum((image - albedo * shading).abs()) / 3.0).reshape(-1, 1)
