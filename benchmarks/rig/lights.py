"""Every light that a benchmark sends, and the tensors made of it: the one place that knows their layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.light.distributions import read_lighting
from client.light.draw import draw_lights
from contract.light import WIDTHS, row_of

Tensors = dict[str, NDArray[Any]]  # by name, each [batch,…]; strings as objects
Light = dict[str, tuple[float, ...]]  # of one picture: a row of LIGHT and one of SCENE
SEED = 0


def light_of(numbers: Mapping[str, float]) -> Light:
    """A light of numbers by their names; what is not given has its default."""
    return {tensor: tuple(row_of(tensor, numbers)) for tensor in WIDTHS}


# One white light from the upper left.
TO_THE_LIGHT = {"direction_x": -0.5, "direction_y": -0.5, "direction_z": 0.7071}
WHITE = light_of({**TO_THE_LIGHT, "ambient": 0.7, "intensity": 0.3, "albedo_blend": 0.2})


@dataclass(frozen=True)
class Row:
    """A photo and its light."""

    name: str  # stem of its files, "00000"
    photo: str  # the image file's name in the folder of photos
    light: Light  # one for each photo


def drawn(photo: str) -> Light:
    """The light that the client draws for a photo of this name."""
    (light,) = draw_lights(read_lighting(), SEED, photo, 1)
    return light_of(light.numbers)


def around(count: int) -> list[Light]:
    """Lights from all around the head, each with another pattern."""
    angles = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False).tolist()
    rest = {"direction_z": 0.714, "ambient": 0.4, "intensity": 0.6, "pattern_opacity": 0.7, "albedo_blend": 0.2}
    return [
        light_of(rest | {"direction_x": 0.7 * cos(angle), "direction_y": 0.7 * sin(angle), "pattern_id": number})
        for number, angle in enumerate(angles, 1)
    ]


def pattern_alone(number: int) -> Light:
    """A light with the shadow pattern `number`."""
    return light_of({"pattern_id": number, "pattern_opacity": 0.7, "pattern_seed": number})


def light_tensors(photos: Sequence[Sequence[Light]]) -> Tensors:
    """LIGHT [B,K,16] and SCENE [B,K,32], float32, of B photos with K lights each."""
    return {name: np.array([[one[name] for one in lights] for lights in photos], np.float32) for name in WIDTHS}
