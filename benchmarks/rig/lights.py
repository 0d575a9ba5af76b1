"""Every light that a benchmark sends, and the tensors made of it: the one place that knows their layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.light import light as client_light
from client.light.draw import draw_lights
from client.light.lighting import read_lighting
from contract.light import CHANNELS, LIGHT, SCENE, WIDTHS, row_of

Tensors = dict[str, NDArray[Any]]  # by name, each [batch,…]; strings as objects
Rows = tuple[tuple[float, ...], ...]
Light = dict[str, Rows]  # of one picture: a row of LIGHT for each source, and one of SCENE
SEED = 0


def light_of(*sources: Mapping[str, float]) -> Light:
    """A light of its sources' numbers by their names, the first of which also has the scene's; the rest is default."""
    return {LIGHT: tuple(tuple(row_of(LIGHT, one)) for one in sources), SCENE: (tuple(row_of(SCENE, sources[0])),)}


def even(ambient: float) -> dict[str, float]:
    """The same light from everywhere."""
    return {f"irradiance_0_{channel}": ambient for channel in CHANNELS}


# One white light from the upper left.
TO_THE_LIGHT = {"direction_x": -0.5, "direction_y": -0.5, "direction_z": 0.7071}
WHITE = light_of({**TO_THE_LIGHT, **even(0.7), "intensity": 0.3, "albedo_blend": 0.2})


@dataclass(frozen=True)
class Row:
    """A photo and its light."""

    name: str  # stem of its files, "00000"
    photo: str  # the image file's name in the folder of photos
    light: Light  # one for each photo


def drawn(photo: str) -> Light:
    """The light that the client draws for a photo of this name."""
    lighting = read_lighting()
    tensors = client_light.light_tensors(
        draw_lights(lighting, SEED, photo, 1), lighting.most_sources(environments=False)
    )
    light, scene = (np.atleast_2d(tensors[name][0, 0]).tolist() for name in (LIGHT, SCENE))
    return {LIGHT: tuple(map(tuple, light)), SCENE: tuple(map(tuple, scene))}


def around(count: int, sources: int = 1) -> list[Light]:
    """Lights from all around the head, each with another pattern, and further sources beside it."""
    angles = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False).tolist()
    rest = {"direction_z": 0.714, "intensity": 0.6, "albedo_blend": 0.2, "cast_shadow": 1.0, "specular": 0.2}
    key = {**rest, **even(0.4), "pattern_opacity": 0.7}
    return [
        light_of(
            *(
                (rest if k else key | {"pattern_id": number})
                | {"direction_x": 0.7 * cos(angle + 2.0 * k), "direction_y": 0.7 * sin(angle + 2.0 * k)}
                for k in range(sources)
            )
        )
        for number, angle in enumerate(angles, 1)
    ]


def pattern_alone(number: int) -> Light:
    """A light with the shadow pattern `number`."""
    return light_of({"pattern_id": number, "pattern_opacity": 0.7, "pattern_seed": number})


def light_tensors(photos: Sequence[Sequence[Light]]) -> Tensors:
    """LIGHT [B,K,L,16] and SCENE [B,K,32], float32, of B photos with K lights each, of L sources."""
    rows = {name: np.array([[one[name] for one in lights] for lights in photos], np.float32) for name in WIDTHS}
    return {LIGHT: rows[LIGHT], SCENE: rows[SCENE][:, :, 0]}
