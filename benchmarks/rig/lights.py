"""Every light that a benchmark sends, and the tensors made of it: the one place that knows their layout."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.light.distributions import read_lighting
from client.light.draw import draw_lights

Tensors = dict[str, NDArray[Any]]  # by name, each [batch,…]; strings as objects
Light = dict[str, tuple[float, ...]]  # of one picture: a row of each tensor of WIDTHS
WIDTHS = {"LIGHT": 16}
SEED = 0

# One white light from the upper left, in the order of LIGHT (model_repository/relight/config.pbtxt).
WHITE: Light = {"LIGHT": (-0.5, -0.5, 0.7071, 0.7, 1.0, 0.0, 32.0, 0.0, 0.5, 31.0, 0.2, 1.0, 1.0, 1.0, 0.0, 128.0)}


@dataclass(frozen=True)
class Row:
    """A photo and its light."""

    name: str  # stem of its files, "00000"
    photo: str  # the image file's name in the folder of photos
    light: Light  # one for each photo


def drawn(photo: str) -> Light:
    """The light that the client draws for a photo of this name."""
    (light,) = draw_lights(read_lighting(), SEED, photo, 1)
    return {"LIGHT": light.values}


def around(count: int) -> list[Light]:
    """Lights from all around the head, each with another pattern."""
    angles = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    rest = (0.7, 5.0, 0.2, 1.0, 1.0, 1.0, 0.0, 128.0)
    return [
        {"LIGHT": (0.7 * np.cos(angle), 0.7 * np.sin(angle), 0.714, 0.4, 1.0, 0.0, 32.0, number, *rest)}
        for number, angle in enumerate(angles, 1)
    ]


def pattern_alone(number: int) -> Light:
    """What of a light shapes the shadow pattern `number`, all else zero."""
    row = [0.0] * WIDTHS["LIGHT"]
    row[7], row[8], row[9], row[14] = number, 0.7, 5.0, number
    return {"LIGHT": tuple(row)}


def has_pattern(light: Light) -> bool:
    """Whether a shadow pattern belongs to a light."""
    return light["LIGHT"][7] != 0


def light_tensors(photos: Sequence[Sequence[Light]]) -> Tensors:
    """LIGHT, float32 [B,K,16], of B photos with K lights each."""
    return {name: np.array([[one[name] for one in lights] for lights in photos], np.float32) for name in WIDTHS}
