"""Smoothing filters as tensor operations that export to ONNX with a dynamic batch, height and width."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian_blur(image: Tensor, sigma: float, border: str = "reflect") -> Tensor:
    """Blur float [B,C,H,W] with a Gaussian of `sigma` pixels; edges are mirrored (OpenCV's default) or replicated."""
    channels, radius = image.shape[1], math.ceil(3.0 * sigma)
    # Made on the device: a CUDA graph cannot hold a copy from the host.
    x = torch.arange(-radius, radius + 1, dtype=torch.float64, device=image.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).float().to(image.dtype).repeat(channels, 1, 1)
    padded = F.pad(image, (radius, radius, radius, radius), mode=border)
    return F.conv2d(F.conv2d(padded, kernel.unsqueeze(3), groups=channels), kernel.unsqueeze(2), groups=channels)


def gaussian_matrix(sigma: float, side: int, cell: int, outputs: int, border: str = "reflect") -> Tensor:
    """A Gaussian blur along one axis of a square as a matrix, float32 [outputs,side/cell]: M @ cells @ M.T.

    A wide blur from cells is two small matrix products. The weights are those of pixels, added up in cells, so that the
    border is as for gaussian_blur.

    Args:
        sigma: pixels.
        side: of the square in pixels.
        cell: pixels averaged to one column of the matrix; that average is a blur too, and is taken off `sigma`.
        outputs: evenly spread samples along the square.
        border: "reflect" or "replicate".
    """
    variance = sigma**2 - (cell**2 - 1.0) / 12.0
    reach = math.ceil(
        4.0 * math.sqrt(variance)
    )  # 0.3 % lies beyond 3 σ, and a white wall would brighten a coat beside it
    centre = (torch.arange(outputs, dtype=torch.float64).unsqueeze(1) + 0.5) * (side / outputs) - 0.5
    place = torch.arange(-reach - 1, side + reach + 1)
    distance = place - centre
    weight = torch.exp(-0.5 * distance * distance / variance) * (distance.abs() <= reach)
    if border == "reflect":
        place = place % (2 * (side - 1))
        place = torch.minimum(place, 2 * (side - 1) - place)
    matrix = torch.zeros(outputs, side // cell, dtype=torch.float64)
    matrix.index_add_(1, place.clamp(0, side - 1) // cell, weight)
    return (matrix / matrix.sum(1, keepdim=True)).float()


# ONNX Runtime sums a reduction in another order when the batch is 1, which would change the last bit of a photo's
# answer. Pooling and plain additions work plane by plane at any batch, so the sums below use those.


def spatial_mean(image: Tensor) -> Tensor:
    """Mean of float [B,C,S,S] over its plane, [B,C,1,1]: in two steps, since one float32 sum over a photo drifts."""
    if image.shape[-1] % 2 == 0:
        image = halve(image)
    side = image.shape[-1]
    cell = next(size for size in (18, 16, 12, 7) if side % size == 0)
    return F.avg_pool2d(F.avg_pool2d(image, cell), side // cell)


def channel_sum(image: Tensor) -> Tensor:
    """Sum of float [B,3,H,W] over its three channels, [B,1,H,W]."""
    first, second, third = image.chunk(3, dim=1)
    return first + second + third


def logarithm(value: Tensor) -> Tensor:
    """Natural logarithm of float32 between e⁻¹⁰ and e¹⁰, to 1e-5.

    ONNX Runtime's own differs in the last bit at the end of each thread's share of the work, which depends on the
    batch. ln x = 64 · artanh((³²√x − 1) / (³²√x + 1)) needs only operations that round alike everywhere.
    """
    root = value
    for _ in range(5):
        root = torch.sqrt(root)
    ratio = (root - 1.0) / (root + 1.0)
    square = ratio * ratio
    return 64.0 * ratio * (1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square / 7.0)))


def channel_softmax(logits: Tensor) -> Tensor:
    """Softmax of float32 [B,C,H,W] over its channels, to 1e-6, from operations that round alike in any batch.

    ONNX Runtime turns the tensor round to do it, which takes three times as long. eˣ = (e^(x/64))⁶⁴ by a short series.
    """
    channels = logits.chunk(logits.shape[1], dim=1)
    highest = channels[0]
    for channel in channels[1:]:
        highest = torch.maximum(highest, channel)
    x = (logits - highest).clamp(min=-32.0) / 64.0
    power = 1.0 + x * (1.0 + x * (1.0 / 2.0 + x * (1.0 / 6.0 + x * (1.0 / 24.0))))
    for _ in range(6):
        power = power * power
    total, *others = power.chunk(logits.shape[1], dim=1)
    for other in others:
        total = total + other
    return power / total


def halve(image: Tensor) -> Tensor:
    """Mean of each 2 × 2 pixels of float [B,C,H,W], H and W even.

    Bilinear sampling at half the size is that very mean; ONNX Runtime does it on a CPU four times as fast as pooling.
    """
    return F.interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False)


def cells(image: Tensor, side: int) -> Tensor:
    """Mean of each `side` × `side` pixels of float [B,C,H,W]; `side` is a power of 2 that divides H and W."""
    while side > 1:
        image, side = halve(image), side // 2
    return image


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Mean over a (2·radius+1)² window of float [B,C,H,W]; windows are cut at the border, not padded."""
    side = 2 * radius + 1
    rows = F.avg_pool2d(image, (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), stride=1, padding=(0, radius), count_include_pad=False)


def sample(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values of float [N,1,H,W] at x and y, float [N,h,w], bilinearly; −1 to 1 is the image, beyond are its borders.

    Places are clamped here: ONNX Runtime's own padding takes a CPU three times as long as none.
    """
    height, width = image.shape[2], image.shape[3]
    grid = torch.stack(
        (x.clamp(1.0 / width - 1.0, 1.0 - 1.0 / width), y.clamp(1.0 / height - 1.0, 1.0 - 1.0 / height)), 3
    )
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="zeros", align_corners=False).squeeze(1)


MIDDLE = 0.5  # of guides and signals


class GuidedFilter:
    """Smooths signals along the edges of one colour guide.

    The colour guided filter of He, Sun and Tang (2013), equations 14–16, its windows on a coarse grid as in the fast
    guided filter (He and Sun, 2015). What depends on the guide alone is computed once and serves every signal, with
    the factors of each window's covariance.
    """

    def __init__(self, guide: Tensor, cell: int, epsilon: float) -> None:
        """Prepare a guide.

        Args:
            guide: float [B,3,H,W] in 0–1; H and W are multiples of `cell`.
            cell: side of a grid cell in pixels, a power of 2; windows are 3 × 3 cells.
            epsilon: variance below which a difference in the guide is noise, not an edge.
        """
        # Around zero the squares are small: less of a variance is lost when the square of the mean is taken from them.
        self.guide, self.cell = guide - MIDDLE, cell
        guide = self.guide
        self.mean = self.window_mean(guide)
        rolled, mean_rolled = guide.roll(-1, 1), self.mean.roll(-1, 1)
        # Variances rr gg bb, then covariances rg gb br.
        products = torch.cat((guide * guide, guide * rolled), dim=1)
        squares = torch.cat((self.mean * self.mean, self.mean * mean_rolled), dim=1)
        rr, gg, bb, rg, gb, br = (self.window_mean(products) - squares).chunk(6, dim=1)
        rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
        # L·D·Lᵀ: the determinant of a gray window is a small difference of large products, half a percent off.
        self.below = rg / rr, br / rr, (gb - br * rg / rr) / (gg - rg * rg / rr)
        green = gg - self.below[0] * rg
        self.diagonal = rr, green, bb - self.below[1] * br - self.below[2] * self.below[2] * green

    def window_mean(self, image: Tensor) -> Tensor:
        """Mean over each window, float [B,C,H/cell,W/cell]."""
        return box_mean(cells(image, self.cell), 1)

    def solve(self, red: Tensor, green: Tensor, blue: Tensor) -> Tensor:
        """Divide float [B,1,H/cell,W/cell] each by the guide's covariance, a matrix in each window; [B,3,·,·]."""
        green_red, blue_red, blue_green = self.below
        green = green - green_red * red
        blue = (blue - blue_red * red - blue_green * green) / self.diagonal[2]
        green = green / self.diagonal[1] - blue_green * blue
        red = red / self.diagonal[0] - green_red * green - blue_red * blue
        return torch.cat((red, green, blue), dim=1)

    def __call__(self, signal: Tensor) -> Tensor:
        """Smooth float [B,1,H,W]."""
        mean = self.window_mean(signal)
        covariance = self.window_mean(self.guide * (signal - MIDDLE)) - self.mean * (mean - MIDDLE)
        slope = self.solve(*covariance.chunk(3, dim=1))
        offset = mean - channel_sum(slope * self.mean)
        coarse = box_mean(torch.cat((slope, offset), dim=1), 1)
        line = F.interpolate(coarse, scale_factor=float(self.cell), mode="bilinear", align_corners=False)
        return channel_sum(line[:, :3] * self.guide) + line[:, 3:]
