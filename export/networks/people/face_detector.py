"""MediaPipe's full-range face detector (BlazeFace): a photo → how likely a face is at each of 48 × 48 places."""

from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 192
GRID = 48


class FaceDetector(nn.Module):
    """Pairs of depthwise separable convolutions (Bazarevsky et al., 2019) under a feature pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU())
        self.level1 = nn.Sequential(Pair(32, 8, 32), Pair(32, 8, 32), Pair(32, 16, 64, stride=2), *pairs(64, 16, 2))
        self.side1 = pointwise(64, 48)
        self.level2 = nn.Sequential(Pair(64, 32, 128, stride=2), *pairs(128, 32, 2))
        self.side2 = pointwise(128, 64)
        self.level3 = nn.Sequential(Pair(128, 48, 192, stride=2), *pairs(192, 48, 2))
        self.side3 = pointwise(192, 96)
        self.level4 = nn.Sequential(Pair(192, 96, 384, stride=2), *pairs(384, 96, 3))
        self.down4 = pointwise(384, 96)
        self.down3 = nn.Sequential(*pairs(96, 48, 2), pointwise(96, 64))
        self.down2 = nn.Sequential(*pairs(64, 32, 2), pointwise(64, 48))
        self.down1 = Pair(48, 24, 48)
        self.score, self.box = head(4), head(64)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Look for faces.

        Args:
            pixels: float sRGB [B,3,192,192] in −1 to 1.

        Returns:
            logits [B,48·48] of a face at each place, row by row · boxes [B,48·48,16] in pixels, relative to the place's
            centre: centre x y, width and height, then x y of the eyes (the photo's left one first), the nose's tip,
            the mouth and both ears.
        """
        first = self.level1(self.stem(pixels))
        second = self.level2(first)
        third = self.level3(second)
        down = twice(self.down4(self.level4(third))) + self.side3(third)
        down = twice(self.down3(down)) + self.side2(second)
        down = self.down1(twice(self.down2(down)) + self.side1(first))
        logits = interleave(self.score(down)).reshape(-1, GRID * GRID)
        boxes = interleave(self.box(down)).reshape(-1, 16, GRID * GRID).transpose(1, 2)
        return logits, boxes


class Pair(nn.Module):
    """Two depthwise separable convolutions, the first into fewer channels; a shortcut where the size stays."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.squeeze = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs), nn.Conv2d(inputs, inner, 1), nn.ReLU()
        )
        self.widen = nn.Sequential(nn.Conv2d(inner, inner, 3, 1, 1, groups=inner), nn.Conv2d(inner, outputs, 1))
        self.shortcut = stride == 1

    def forward(self, image: Tensor) -> Tensor:
        """Float [B,C,H,W] → [B,C',H/stride,W/stride]."""
        wide = self.widen(self.squeeze(image))
        return F.relu(image + wide if self.shortcut else wide)


def pairs(channels: int, inner: int, count: int) -> list[Pair]:
    """Several pairs that keep the size."""
    return [Pair(channels, inner, channels) for _ in range(count)]


def pointwise(inputs: int, outputs: int) -> nn.Sequential:
    """A convolution across the channels."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU())


def head(channels: int) -> nn.Sequential:
    """What a place is asked: at half the resolution four places share a pixel."""
    return nn.Sequential(nn.Conv2d(48, channels, 1), nn.Conv2d(channels, channels, 3, 2, 1, groups=channels))


def twice(image: Tensor) -> Tensor:
    """Enlarge float [B,C,H,W] bilinearly to twice the size."""
    return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


def interleave(image: Tensor) -> Tensor:
    """Lay float [B,4·C,H,W] out as [B,C,2·H,2·W]; TensorFlow has the place within the pixel before the channel."""
    batch, channels, height, width = image.shape
    places = image.reshape(batch, 2, 2, channels // 4, height, width).permute(0, 3, 4, 1, 5, 2)
    return places.reshape(batch, channels // 4, 2 * height, 2 * width)
