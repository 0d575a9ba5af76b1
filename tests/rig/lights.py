"""LIGHT and SCENE for the tests."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contract.light import CHANNELS, LIGHT, SCENE, row_of

Numbers = dict[str, float]


def light(azimuth: float = 0.0, elevation: float = 45.0, **numbers: float) -> Numbers:
    """The numbers of a light and its picture by their names; angles in degrees, what is not given has its default.

    Ambient light (the environment's mean) is 0.3 and the direct light the rest, unless told otherwise.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    direction = {
        "direction_x": math.cos(e) * math.cos(a),
        "direction_y": math.cos(e) * math.sin(a),
        "direction_z": math.sin(e),
    }
    ambient = numbers.pop("ambient", 0.3)
    return direction | even(ambient) | {"intensity": 1.0 - ambient, "pattern_seed": 7.0} | numbers


def even(ambient: float) -> Numbers:
    """The same light from everywhere."""
    return {f"irradiance_0_{channel}": ambient for channel in CHANNELS}


def tensors(*pictures: Numbers | Sequence[Numbers], photos: int = 1) -> tuple[Tensor, Tensor]:
    """LIGHT [photos,K,L,16] and SCENE [photos,K,32], the same for each photo.

    Each picture has the numbers of one source, or of several, the first of which also has the scene's.
    """
    groups = [[one] if isinstance(one, dict) else list(one) for one in pictures]
    most = max(map(len, groups))
    padded = [group + [{"intensity": 0.0}] * (most - len(group)) for group in groups]
    light_rows = torch.tensor([[[row_of(LIGHT, one) for one in group] for group in padded]], dtype=torch.float32)
    scene_rows = torch.tensor([[row_of(SCENE, group[0]) for group in groups]], dtype=torch.float32)
    return light_rows.repeat(photos, 1, 1, 1), scene_rows.repeat(photos, 1, 1)


def plain_light() -> dict[str, NDArray[np.float32]]:
    """LIGHT and SCENE of one photo under the default light, as a request holds them."""
    return {name: rows.numpy() for name, rows in zip((LIGHT, SCENE), tensors({}), strict=True)}
