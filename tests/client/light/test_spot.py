"""The brightest spot becomes a source with the direction, energy and size that it had in the map."""

import numpy as np
import pytest

from client.light.radiance_map import LUMINANCE, Floats, directions, project, project_source, solid_angles
from client.light.skies import SKIES
from client.light.spot import split

HEIGHT = 128
PIXEL = np.pi / HEIGHT


def disc(toward: Floats, degrees: float) -> Floats:
    """The share of each pixel [H,W,1] that a disc of that radius covers, from 4 x 4 samples."""
    inside = directions(4 * HEIGHT, 8 * HEIGHT) @ toward > np.cos(np.radians(degrees))
    share: Floats = inside.reshape(HEIGHT, 4, 2 * HEIGHT, 4).mean((1, 3))[..., None]
    return share


def energy(radiance: Floats) -> Floats:
    total: Floats = (radiance * solid_angles(*radiance.shape[:2])[..., None]).sum((0, 1))
    return total


@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        (0.48, -0.6, 0.64),
        (0.01, -0.1, 0.99),  # across the seam at the map's left and right edges
        (0.0, 1.0, 0.02),  # around the pole
        (-0.1, 0.3, -0.9),  # behind the person
    ],
)
def test_a_disc_of_known_place_energy_and_size(x: float, y: float, z: float) -> None:
    toward = np.array([x, y, z]) / np.linalg.norm([x, y, z])
    level, light = np.array([0.4, 0.5, 0.6]), np.array([90.0, 60.0, 30.0])
    radiance = level + light * disc(toward, 6)
    spot, rest = split(radiance)
    assert spot is not None
    assert np.arccos(np.dot(toward, spot.direction)) < PIXEL / 2
    color = light * 2 * (1 - np.cos(np.radians(6)))  # the solid angle ÷ π
    np.testing.assert_allclose(spot.color, color, rtol=0.01)
    assert spot.size == pytest.approx(12, rel=0.05)
    np.testing.assert_allclose(energy(rest) + np.pi * np.array(spot.color), energy(radiance), rtol=1e-6)
    np.testing.assert_allclose(rest, np.broadcast_to(level, rest.shape), rtol=1e-9)
    joined = project(rest) + project_source(spot.direction, spot.color)
    np.testing.assert_allclose(joined, project(radiance), atol=0.01 * color.max())


def test_the_sun_in_one_pixel_among_noise() -> None:
    radiance = np.random.default_rng(0).lognormal(0, 1, (HEIGHT, 2 * HEIGHT, 3))
    radiance[40, 200] = 2e4
    spot, rest = split(radiance)
    assert spot is not None
    assert np.dot(directions(HEIGHT, 2 * HEIGHT)[40, 200], spot.direction) > np.cos(PIXEL / 2)
    assert spot.color == pytest.approx([2e4 * solid_angles(HEIGHT, 2 * HEIGHT)[40, 0] / np.pi] * 3, rel=0.01)
    assert rest[40, 200].max() < 3


def test_a_window_and_not_its_bars_or_brightest_pixel_or_a_lamp() -> None:
    random = np.random.default_rng(0)
    radiance = np.full((HEIGHT, 2 * HEIGHT, 3), 0.5)
    radiance[50:80, 20:50] = random.lognormal(3, 0.4, (30, 30, 1))
    radiance[64], radiance[60, 30] = 0.5, 300  # a bar through it, a reflection in it
    radiance[20:22, 150:152] = 400  # a lamp: brighter, but it gives less light
    spot, rest = split(radiance)
    assert spot is not None
    assert np.dot(directions(HEIGHT, 2 * HEIGHT)[64, 34], spot.direction) > np.cos(2 * PIXEL)
    np.testing.assert_allclose(np.median(rest[50:80, 20:50]), 0.5)
    assert rest[20, 150, 0] == 400


@pytest.mark.parametrize("name", ["even", "noise", "half", "one faint pixel", "overcast"])
def test_nothing_where_nothing_stands_out(name: str) -> None:
    radiance = np.ones((HEIGHT, 2 * HEIGHT, 3))
    if name == "noise":
        radiance *= np.random.default_rng(0).lognormal(0, 1, radiance.shape)
    if name == "half":
        radiance[: HEIGHT // 2] = 20
    if name == "one faint pixel":
        radiance[40, 40] = 20
    if name == "overcast":
        radiance = SKIES["overcast"]()
    spot, rest = split(radiance)
    assert spot is None
    assert rest is radiance


def test_colors_are_removed_each_for_itself() -> None:
    radiance = np.full((HEIGHT, 2 * HEIGHT, 3), [0.1, 0.1, 2.0])
    radiance[60:64, 60:64] = 100, 50, 1  # darker than its surroundings in blue
    spot, rest = split(radiance)
    assert spot is not None
    assert spot.color[2] == 0
    assert rest[60:64, 60:64, 2].max() == 1
    assert LUMINANCE @ spot.color > 0
