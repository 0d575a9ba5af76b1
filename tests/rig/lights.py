"""LIGHT and SCENE for the tests."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contract.light import LIGHT, SCENE, row_of

Numbers = dict[str, float]


def light(azimuth: float = 0.0, elevation: float = 45.0, **numbers: float) -> Numbers:
    """The numbers of a light and its picture by their names; angles in degrees, what is not given has its default.

    Ambient light is 0.3 and the direct light the rest, unless told otherwise.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    direction = {
        "direction_x": math.cos(e) * math.cos(a),
        "direction_y": math.cos(e) * math.sin(a),
        "direction_z": math.sin(e),
    }
    ambient = numbers.get("ambient", 0.3)
    return direction | {"ambient": ambient, "intensity": 1.0 - ambient, "pattern_seed": 7.0} | numbers


def tensors(*lights: Numbers, photos: int = 1) -> tuple[Tensor, Tensor]:
    """LIGHT [photos,K,16] and SCENE [photos,K,32], the same for each photo."""
    light_rows, scene_rows = (
        torch.tensor([[row_of(tensor, one) for one in lights]], dtype=torch.float32).repeat(photos, 1, 1)
        for tensor in (LIGHT, SCENE)
    )
    return light_rows, scene_rows


def plain_light() -> dict[str, NDArray[np.float32]]:
    """LIGHT and SCENE of one photo under the default light, as a request holds them."""
    return {name: rows.numpy() for name, rows in zip((LIGHT, SCENE), tensors({}), strict=True)}
