"""Photos with and without people as the networks' inputs."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.rig.places import SAMPLES


def open_photo(name: str) -> Image.Image:
    """A sample, or "both": the two portraits side by side."""
    if name != "both":
        with Image.open(SAMPLES / name) as image:
            return image.convert("RGB")
    left, right = open_photo("astronaut.png"), open_photo("grace_hopper.jpg").resize((437, 512))
    both = Image.new("RGB", (left.width + right.width, 512))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


def square(photo: Image.Image, side: int) -> Tensor:
    """Squash a photo as `decode` does: uint8 [1,3,side,side]."""
    small = photo.resize((side, side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(small).transpose(2, 0, 1)[None].copy())


def aspect(photo: Image.Image) -> Tensor:
    """ASPECT, float32 [1,1]."""
    return torch.tensor([[photo.width / photo.height]])
