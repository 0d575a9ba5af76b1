"""LIGHT tensors for the tests."""

import math

import torch
from torch import Tensor


def light(
    azimuth: float = 0.0,
    elevation: float = 45.0,
    *,
    ambient: float = 0.3,
    relief: float = 1.0,
    specular: float = 0.0,
    shininess: float = 32.0,
    pattern: int = 0,
    opacity: float = 0.75,
    blur: float = 5.0,
    blend: float = 0.0,
    seed: int = 7,
    gray: float = 128.0,
) -> list[float]:
    """One LIGHT of 16 numbers; angles in degrees."""
    a, e = math.radians(azimuth), math.radians(elevation)
    direction = [math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)]
    return [*direction, ambient, relief, specular, shininess, pattern, opacity, blur, blend, 1.0, 1.0, 1.0, seed, gray]


def tensor(*rows: list[float]) -> Tensor:
    """LIGHT [1,K,16]."""
    return torch.tensor([rows], dtype=torch.float32)
