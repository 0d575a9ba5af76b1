"""What LiteRT computed from Google's original files, and the inputs it was given: parts of samples/astronaut.png."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from tests.rig.places import SAMPLES

Array = npt.NDArray[np.float32]


def litert(name: str) -> Array:
    """One of LiteRT 2.3's outputs; the segmenter's logits are every eighth pixel's."""
    with np.load(Path(__file__).with_name("litert.npz")) as arrays:
        return np.asarray(arrays[name], np.float32)


def astronaut() -> Array:
    """The whole photo, float32 [512,512,3] in 0–255."""
    with Image.open(SAMPLES / "astronaut.png") as image:
        return np.asarray(image.convert("RGB"), np.float32)


def halved(photo: Array) -> Array:
    """Mean of each 2 × 2 pixels."""
    height, width = photo.shape[:2]
    return np.asarray(photo.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)), np.float32)


def tensor(photo: Array) -> Tensor:
    """[H,W,3] → [1,3,H,W]."""
    return torch.from_numpy(photo.transpose(2, 0, 1)[None].copy())
