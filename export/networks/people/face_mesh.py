"""MediaPipe's face mesh: a crop around a face → 478 points in three dimensions."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 256
POINTS, SURFACE = 478, 468  # the last ten are the irises
TRIANGLES = 898
WIDTHS = (16, 32, 64, 128, 128, 128, 128)


class FaceMesh(nn.Module):
    """A residual network of depthwise convolutions and PReLU (Kartynnik et al., 2019; version 2 of the weights)."""

    triangles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 16, 3, 2), Leak(16))
        blocks = [Block(16, 16) for _ in range(4)]
        for inputs, outputs in pairwise(WIDTHS):
            blocks += [Block(inputs, outputs, halved=True), *(Block(outputs, outputs) for _ in range(4))]
        self.blocks = nn.Sequential(*blocks)
        self.presence, self.points = nn.Conv2d(128, 1, 2), nn.Conv2d(128, 3 * POINTS, 2)
        self.register_buffer("triangles", torch.zeros(TRIANGLES, 3, dtype=torch.int64))

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Find a face's points.

        Args:
            crop: float sRGB [B,3,256,256] in 0–1, the face upright in its middle.

        Returns:
            points [B,478,3] in pixels of the crop, z away from the camera · logit [B,1] that a face is there.
        """
        features = self.blocks(self.stem(crop))
        return self.points(features).reshape(-1, POINTS, 3), self.presence(features).reshape(-1, 1)


class Leak(nn.Module):
    """PReLU in plain arithmetic: ONNX Runtime's own operator takes a CPU half of the network's time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor) -> Tensor:
        """Scale what is negative of float [B,C,H,W] by its channel's weight."""
        weight = self.weight.reshape(-1, 1, 1)
        return weight * image + (1.0 - weight) * F.relu(image)


class Block(nn.Module):
    """Narrow, convolve channel by channel, widen, add; `halved` also halves the image."""

    def __init__(self, inputs: int, outputs: int, halved: bool = False) -> None:
        super().__init__()
        inner = min(inputs, 64) if halved and inputs < outputs else outputs // 2
        size = 2 if halved else 1
        self.convolutions = nn.Sequential(
            nn.Conv2d(inputs, inner, size, size),
            Leak(inner),
            nn.Conv2d(inner, inner, 3, 1, 1, groups=inner),
            nn.Conv2d(inner, outputs, 1),
        )
        self.activation = Leak(outputs)
        self.halved, self.more = halved, outputs - inputs

    def forward(self, image: Tensor) -> Tensor:
        """Float [B,C,H,W] → [B,C',H,W] or, halved, [B,C',H/2,W/2]."""
        shortcut = F.max_pool2d(image, 2) if self.halved else image
        if self.more:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.more))
        activated: Tensor = self.activation(shortcut + self.convolutions(image))
        return activated
