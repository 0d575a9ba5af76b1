"""Smoothing filters as tensor operations that export to ONNX with a dynamic batch, height and width."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_kernel(sigma: float) -> Tensor:
    """Return a normalised 1-D Gaussian, float32 [2·ceil(3σ)+1]."""
    radius = math.ceil(3.0 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    return (kernel / kernel.sum()).float()


def gaussian_blur(image: Tensor, sigma: float, border: str = "reflect") -> Tensor:
    """Blur float [B,C,H,W] with a Gaussian of `sigma` pixels; edges are mirrored (OpenCV's default) or replicated."""
    kernel = gaussian_kernel(sigma).to(image)
    radius = kernel.shape[0] // 2
    channels = image.shape[1]
    padded = F.pad(image, (radius, radius, radius, radius), mode=border)
    rows = F.conv2d(padded, kernel.reshape(1, 1, -1, 1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(rows, kernel.reshape(1, 1, 1, -1).repeat(channels, 1, 1, 1), groups=channels)


def spatial_sum(image: Tensor) -> Tensor:
    """Sum float [B,C,H,W] over H and W, [B,C,1,1]; row by row, since one running float32 sum over a photo drifts."""
    return image.sum(3, keepdim=True).sum(2, keepdim=True)


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Mean over a (2·radius+1)² window of float [B,C,H,W]; windows are cut at the border, not padded."""
    return F.avg_pool2d(image, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)


class GuidedFilter:
    """Smooths signals along the edges of one colour guide.

    The colour guided filter of He, Sun and Tang (2013), equations 14–16. What depends on the guide alone, the inverse
    of each window's covariance included (by cofactors), is computed once and serves every signal.
    """

    def __init__(self, guide: Tensor, radius: int, epsilon: float) -> None:
        """Prepare a guide, float [B,3,H,W] in 0–1; `epsilon` is the variance below which an edge is noise."""
        self.guide, self.radius = guide, radius
        self.mean = box_mean(guide, radius)
        rolled, mean_rolled = guide.roll(-1, 1), self.mean.roll(-1, 1)
        # Variances rr gg bb, then covariances rg gb br.
        products = torch.cat((guide * guide, guide * rolled), dim=1)
        squares = torch.cat((self.mean * self.mean, self.mean * mean_rolled), dim=1)
        rr, gg, bb, rg, gb, br = (box_mean(products, radius) - squares).split(1, dim=1)
        rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
        c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * br - rg * bb, rg * gb - gg * br
        c_gg, c_gb, c_bb = rr * bb - br * br, br * rg - rr * gb, rr * gg - rg * rg
        determinant = rr * c_rr + rg * c_rg + br * c_rb
        # Rows of the inverse, each [B,3,H,W].
        self.inverse = tuple(
            torch.cat(row, dim=1) / determinant
            for row in ((c_rr, c_rg, c_rb), (c_rg, c_gg, c_gb), (c_rb, c_gb, c_bb))
        )

    def __call__(self, signal: Tensor) -> Tensor:
        """Smooth float [B,1,H,W]."""
        mean = box_mean(signal, self.radius)
        covariance = box_mean(self.guide * signal, self.radius) - self.mean * mean
        slope = torch.cat([(row * covariance).sum(1, keepdim=True) for row in self.inverse], dim=1)
        offset = mean - (slope * self.mean).sum(1, keepdim=True)
        smooth = box_mean(torch.cat((slope, offset), dim=1), self.radius)
        return (smooth[:, :3] * self.guide).sum(1, keepdim=True) + smooth[:, 3:]
