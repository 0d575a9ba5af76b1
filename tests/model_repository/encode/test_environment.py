"""What encode promises of an environment map: integrated again, it lights as LIGHT and SCENE do."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from environment import HEIGHT, WIDTH, disc, encode_environment

from contract.light import CHANNELS, LIGHT, SCENE, row_of
from tests.rig.exr import channels

Array = npt.NDArray[Any]
KEPT = np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])


def harmonics(directions: Array) -> Array:
    """contract.light's HARMONICS, [N, 9]."""
    x, y, z = directions.T
    return np.stack([x**0, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], -1)


def looks() -> tuple[Array, Array]:
    """Directions [N, 3] and solid angles [N] of an equirectangular map's pixels, in LIGHT's axes."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    down, right = math.pi * ((row + 0.5) / HEIGHT - 0.5), 2 * math.pi * ((column + 0.5) / WIDTH - 0.5)
    directions = [np.cos(down) * np.sin(right), np.sin(down), -np.cos(down) * np.cos(right)]
    return np.stack(directions, -1).reshape(-1, 3), (np.cos(down) * (math.pi / HEIGHT) ** 2).ravel()


DIRECTIONS, ANGLES = looks()
NORMALS = np.random.default_rng(1).normal(size=(400, 3))
NORMALS /= np.linalg.norm(NORMALS, axis=1, keepdims=True)


def shading(map_of: Array) -> Array:
    """Irradiance / pi at the normals from a map [H, W, 3]: [N, 3]."""
    return np.asarray((np.maximum(NORMALS @ DIRECTIONS.T, 0) * ANGLES / math.pi) @ map_of.reshape(-1, 3))


def projected(radiance: Array) -> Array:
    """The nine coefficients of irradiance / pi of a map [N]."""
    functions = harmonics(DIRECTIONS)
    return np.asarray(KEPT * (radiance * ANGLES @ functions) / (ANGLES @ functions**2))


def soft_box(direction: tuple[float, float, float], sharpness: int = 4) -> Array:
    return np.asarray(np.maximum(DIRECTIONS @ np.array(direction), 0) ** sharpness)


ENVIRONMENTS = {
    "from everywhere": np.ones(len(DIRECTIONS)),
    "sky and ground": np.where(DIRECTIONS[:, 1] < 0, 1.0, 0.2),
    "two boxes": 0.1 + soft_box((1, 0, 0)) + 2 * soft_box((-1, 0, 0)),
    "one box": 0.05 + soft_box((0.6, -0.6, 0.529)),
    "black": np.zeros(len(DIRECTIONS)),
}


def scene_row(coefficients: Array) -> Array:
    """SCENE's row with coefficients [9, 3]."""
    names = [f"irradiance_{index}_{channel}" for index in range(9) for channel in CHANNELS]
    return np.array(row_of(SCENE, dict(zip(names, coefficients.ravel().tolist(), strict=True))), np.float32)


def source(direction: tuple[float, float, float], intensity: float, size: float = 0.0) -> list[float]:
    numbers = dict(zip(("direction_x", "direction_y", "direction_z"), direction, strict=True))
    colors = {"color_red": 1.0, "color_green": 0.8, "color_blue": 0.5}
    return row_of(LIGHT, numbers | colors | {"intensity": intensity, "angular_size": size})


def map_of(coefficients: Array, *sources: list[float]) -> Array:
    rows = np.array(sources or [row_of(LIGHT, {"intensity": 0.0})], np.float32)
    values = channels(encode_environment(rows, scene_row(coefficients)))["RGB"]
    assert values.shape == (32, 64, 3)
    assert values.dtype == np.float32
    assert values.min() >= 0
    return values


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_map_has_the_irradiance_of_the_scene(name: str) -> None:
    coefficients = np.outer(projected(ENVIRONMENTS[name]), (1.0, 0.5, 0.0))
    expected = harmonics(NORMALS) @ coefficients
    assert np.abs(shading(map_of(coefficients)) - expected).max() <= 0.01 * expected.max()


@pytest.mark.parametrize("coefficient", [1, 4, 6])
def test_irradiance_that_no_light_has_gives_a_map_of_the_same_mean(coefficient: int) -> None:
    coefficients = np.zeros((9, 3))
    coefficients[0], coefficients[coefficient] = 0.5, 5.0
    found = map_of(coefficients)
    assert np.isfinite(found).all()
    assert np.allclose(ANGLES @ found.reshape(-1, 3) / (4 * math.pi), 0.5, rtol=0.01)


def test_irradiance_and_sources_add_up() -> None:
    """A source between pixels is spread over two: where it grazes a surface, it wraps around by half a pixel."""
    coefficients = np.outer(projected(ENVIRONMENTS["sky and ground"]), (1.0, 1.0, 1.0))
    directions = np.array([(0.6, -0.6, 0.529), (-0.8, 0.0, -0.6), (0.0, -1.0, 0.0)])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = map_of(
        coefficients, *(source(tuple(one), intensity) for one, intensity in zip(directions, (1, 0.5, 2), strict=True))
    )
    cosines = NORMALS @ directions.T
    lit = np.maximum(cosines, 0) @ np.outer((1, 0.5, 2), (1.0, 0.8, 0.5))
    expected = harmonics(NORMALS) @ coefficients + lit
    error = np.abs(shading(found) - expected) / expected.max()
    grazing = (np.abs(cosines) < 0.1).any(1)
    assert error[~grazing].max() <= 0.01
    assert error.max() <= 0.03


@pytest.mark.parametrize("size", [0.0, 5.0, 20.0, 90.0])
def test_a_source_of_any_size_and_place_lights_what_faces_it_exactly(size: float) -> None:
    for towards in (*NORMALS[:20], (0, 0, -1.0), (0, -1.0, 0), (0, 1.0, 0), DIRECTIONS[0], DIRECTIONS[1000]):
        direction = np.array(towards)
        found = disc(direction, size)
        vector = ANGLES * found.ravel() @ DIRECTIONS / math.pi
        assert np.abs(vector - direction).max() < 1e-3
        away = np.degrees(np.arccos(np.clip(DIRECTIONS @ direction, -1, 1)))
        assert away[found.ravel() > 0].max() < size / 2 + 1.5 * 180 / HEIGHT


def test_the_middle_of_the_map_is_what_the_camera_looks_at() -> None:
    """Behind the person is the middle, the right is on the right, and the light from above is at the top."""
    for direction, (row, column) in (((0, 0, -1), (16, 32)), ((1, 0, 0), (16, 48)), ((-1, 0, 0), (16, 16))):
        found = map_of(np.zeros((9, 3)), source(direction, 1.0))[..., 0]
        assert abs(found @ np.arange(64) @ np.ones(32) / found.sum() - (column - 0.5)) < 0.01
        assert abs(found.sum(1) @ np.arange(32) / found.sum() - (row - 0.5)) < 0.01
    above = map_of(np.zeros((9, 3)), source((0, -1, 0), 1.0))[..., 0]
    assert above[0].min() > 0 == above[5:].max()
