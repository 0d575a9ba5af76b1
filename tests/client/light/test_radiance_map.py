"""A radiance map gives the light that the textbook says, in the axes that the contract names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.light.radiance_map import Floats, directions, polynomials, project, project_source, reduced, solid_angles
from contract.light import HARMONICS

ODD_IN_X = [index for index, harmonic in enumerate(HARMONICS) if "x" in harmonic and "²" not in harmonic]
seeds = st.integers(0, 2**32 - 1)


def noise(seed: int, height: int = 8) -> Floats:
    return np.random.default_rng(seed).exponential(size=(height, 2 * height, 3))


def test_even_light_is_the_mean_alone() -> None:
    expected = np.zeros((9, 3))
    expected[0] = 1
    np.testing.assert_allclose(project(np.ones((16, 32, 3))), expected, atol=1e-14)
    assert solid_angles(16, 32).sum() * 32 == pytest.approx(4 * np.pi, rel=1e-14)


@pytest.mark.parametrize(
    ("rows", "columns", "toward"),
    [
        (slice(0, 8), slice(None), (0, -1, 0)),  # the upper half
        (slice(None), slice(16, 32), (1, 0, 0)),  # the right half
        (slice(None), slice(8, 24), (0, 0, -1)),  # the half around the middle, which the camera looks at
    ],
)
def test_half_a_bright_sphere_is_half_the_mean_and_half_a_cosine(
    rows: slice, columns: slice, toward: tuple[float, float, float]
) -> None:
    radiance = np.zeros((16, 32, 3))
    radiance[rows, columns] = 1
    expected = np.zeros(9)
    expected[:4] = 0.5, toward[1] / 2, toward[2] / 2, toward[0] / 2
    np.testing.assert_allclose(project(radiance), np.tile(expected[:, None], 3), atol=1e-14)


def test_a_small_lamp_is_a_source_in_the_direction_of_its_pixel() -> None:
    radiance = np.zeros((64, 128, 3))
    radiance[20, 100] = 3, 2, 1
    direction = tuple(directions(64, 128)[20, 100])
    color = radiance[20, 100] * solid_angles(64, 128)[20] / np.pi
    np.testing.assert_allclose(project(radiance), project_source(direction, tuple(color)), atol=1e-3 * color[0])
    facing = polynomials(direction) @ project_source(direction, (1, 1, 1))
    np.testing.assert_allclose(facing, 17 / 16)  # 1/4 + 1/2 + 5/16 of the three orders; Lambert's cosine is 1


@given(seeds, seeds, st.floats(0, 1e4))
def test_light_adds_up(one: int, other: int, factor: float) -> None:
    a, b = noise(one), noise(other)
    np.testing.assert_allclose(project(factor * a + b), factor * project(a) + project(b), rtol=1e-9, atol=1e-9)


@given(seeds)
def test_a_mirrored_map_is_mirrored_light(seed: int) -> None:
    signs = np.ones(9)
    signs[ODD_IN_X] = -1
    np.testing.assert_allclose(project(noise(seed)[:, ::-1]), signs[:, None] * project(noise(seed)), atol=1e-12)


@pytest.mark.parametrize("width", [64, 50, 34])
def test_a_reduced_map_keeps_its_energy_and_its_light(width: int) -> None:
    radiance = noise(1, 64)
    small = reduced(radiance, width)
    energy = (radiance * solid_angles(64, 128)[..., None]).sum((0, 1))
    kept = (small * solid_angles(width // 2, width)[..., None]).sum((0, 1))
    assert small.shape == (width // 2, width, 3)
    np.testing.assert_allclose(kept, energy, rtol=1e-12)
    np.testing.assert_allclose(project(small), project(radiance), atol=0.02 * project(radiance)[0].max())
