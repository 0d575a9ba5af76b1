"""MediaPipe's multiclass selfie segmenter: a photo → logits of hair, skin, clothes and ground."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 256
CLASSES = ("background", "hair", "body skin", "face skin", "clothes", "others")


class SelfieClasses(nn.Module):
    """A MobileNet-V2 trunk with two MobileViT-V2 stages (Mehta and Rastegari, 2022) under a feature pyramid."""

    across2: Tensor
    across3: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(3, 16, 3, stride=2, relu=True)
        self.stage1 = bottleneck(16, 64)
        self.stage2, self.stage2_again = bottleneck(64, 128, stride=2), bottleneck(128, 128)
        self.stage3, self.attention3 = bottleneck(128, 256, stride=2), PatchAttention(256, 128, depth=2)
        self.stage4, self.attention4 = bottleneck(256, 384, stride=2), PatchAttention(384, 192, depth=4)
        self.side = nn.ModuleList(nn.Sequential(Scale(c), nn.Conv2d(c, 64, 1)) for c in (16, 128, 256, 384))
        self.merge = nn.ModuleList(separable(64, 64, relu=False) for _ in range(4))
        self.head = nn.Sequential(separable(64, 32), *(separable(32, 32) for _ in range(4)))
        # Enlarging four and eight times bilinearly is a pair of matrix products, on a CPU in half the time.
        self.register_buffer("across2", bilinear_matrix(SIDE // 8, SIDE // 2), persistent=False)
        self.register_buffer("across3", bilinear_matrix(SIDE // 16, SIDE // 2), persistent=False)
        self.enlarge = nn.ConvTranspose2d(32, 32, 2, 2)
        self.classify = nn.Conv2d(32, len(CLASSES), 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits [B,6,256,256] of float sRGB [B,3,256,256] in −1 to 1."""
        first = self.stem(pixels)
        second = self.stage2(self.stage1(first))
        second = self.stage2_again(second) + second
        third = self.attention3(self.stage3(second))
        fourth = self.attention4(self.stage4(third))
        pyramid = [side(x) for side, x in zip(self.side, (first, second, third, fourth), strict=True)]
        for level in (2, 1, 0):
            pyramid[level] = F.interpolate(pyramid[level + 1], scale_factor=2.0, mode="nearest") + pyramid[level]
        merged = [merge(x) for merge, x in zip(self.merge, pyramid, strict=True)]
        total = merged[0]
        total = total + F.interpolate(merged[1], total.shape[2:], mode="bilinear", align_corners=False)
        for level, across in zip(merged[2:], (self.across2, self.across3), strict=True):
            total = total + across @ (level @ across.T)
        logits: Tensor = self.classify(self.enlarge(self.head(total)))
        return logits

    def fuse(self) -> "SelfieClasses":
        """Merge what is linear one after another, in place: the same function in a tenth less time."""
        enlarge, across = self.enlarge, self.classify.weight[:, :, 0, 0]
        self.enlarge = nn.ConvTranspose2d(enlarge.in_channels, len(CLASSES), 2, 2).requires_grad_(False)
        set_weights(self.enlarge, torch.einsum("iayx,oa->ioyx", enlarge.weight, across), enlarge.bias, self.classify)
        self.add_module("classify", nn.Identity())
        for module in self.modules():
            if isinstance(module, LinearAttention):
                module.fuse()
        return self


def set_weights(merged: nn.Module, weight: Tensor, bias: Tensor | None, last: nn.Conv2d) -> None:
    """Fill a convolution that does the work of two, the last of which is 1 × 1; `bias` is the first one's."""
    assert bias is not None
    assert last.bias is not None
    merged.load_state_dict({"weight": weight, "bias": last.weight[:, :, 0, 0] @ bias + last.bias})


class PatchAttention(nn.Module):
    """Local convolutions, then attention among the pixels at the same place of every 4 × 4 patch."""

    PATCH = 4

    def __init__(self, channels: int, inner: int, depth: int) -> None:
        super().__init__()
        self.local = nn.Sequential(convolution(channels, inner, 3, relu=True), convolution(inner, inner, relu=True))
        self.blocks = nn.Sequential(*(LinearAttention(inner) for _ in range(depth)))
        self.out = convolution(inner, channels)

    def forward(self, image: Tensor) -> Tensor:
        """Float [B,C,H,W] in and out, H and W multiples of 4."""
        image = self.local(image)
        batch, channels, height, width = image.shape
        side, rows, columns = self.PATCH, height // self.PATCH, width // self.PATCH
        patches = image.reshape(batch, channels, rows, side, columns, side).permute(0, 1, 3, 5, 2, 4)
        patches = self.blocks(patches.reshape(batch, channels, side * side, rows * columns))
        image = patches.reshape(batch, channels, side, side, rows, columns).permute(0, 1, 4, 2, 5, 3)
        merged: Tensor = self.out(image.reshape(batch, channels, height, width))
        return merged


class LinearAttention(nn.Module):
    """Separable self-attention: every patch is given the same weighted mean of all of them, beside a linear layer."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Scale(channels)
        self.widen, self.narrow = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1)
        self.query, self.key = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, channels, 1)
        self.value, self.project = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, patches: Tensor) -> Tensor:
        """Float [B,C,place in the patch,patch] in and out."""
        normed = self.norm(patches)
        weighted = self.key(normed) * torch.softmax(self.query(normed), 3)
        count = int(patches.shape[3])
        context = F.avg_pool2d(weighted, (1, count)) * count  # a sum that does not depend on the batch
        attended: Tensor = self.project(F.relu(self.value(normed)) * context) + patches
        passed: Tensor = self.narrow(self.widen(normed))
        return passed + attended

    def fuse(self) -> None:
        """Merge the two convolutions that nothing lies between."""
        widen, narrow = self.widen, self.narrow
        self.narrow = nn.Conv2d(narrow.out_channels, narrow.out_channels, 1).requires_grad_(False)
        weight = narrow.weight[:, :, 0, 0] @ widen.weight[:, :, 0, 0]
        set_weights(self.narrow, weight.unsqueeze(2).unsqueeze(3), widen.bias, narrow)
        self.add_module("widen", nn.Identity())


class Scale(nn.Module):
    """A batch normalisation whose statistics are folded into a factor and an offset for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Scale float [B,C,H,W]."""
        return image * self.weight + self.bias


def bilinear_matrix(inputs: int, outputs: int) -> Tensor:
    """Bilinear interpolation along one axis, float32 [outputs,inputs]: M @ image @ M.T enlarges a square."""
    return F.interpolate(torch.eye(inputs).unsqueeze(0), outputs, mode="linear", align_corners=False)[0].T


def convolution(
    inputs: int, outputs: int, side: int = 1, stride: int = 1, groups: int = 1, relu: bool = False
) -> nn.Sequential:
    """A convolution padded as TensorFlow's SAME does: an even image at its end only where the stride is 2."""
    padding = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    inside = nn.Conv2d(inputs, outputs, side, stride, 0 if stride == 2 else side // 2, groups=groups)
    return nn.Sequential(*padding, inside, *([nn.ReLU()] if relu else []))


def bottleneck(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """MobileNet-V2's block: six times as wide inside, the 3 × 3 convolution channel by channel."""
    wide = 6 * inputs
    return nn.Sequential(
        convolution(inputs, wide, relu=True),
        convolution(wide, wide, 3, stride, groups=wide, relu=True),
        convolution(wide, outputs),
    )


def separable(inputs: int, outputs: int, relu: bool = True) -> nn.Sequential:
    """A 3 × 3 convolution channel by channel, then one across the channels."""
    return nn.Sequential(
        convolution(inputs, inputs, 3, groups=inputs, relu=relu), convolution(inputs, outputs, relu=relu)
    )
