"""The built-in environments follow the standard's formulas and light a person as their names say."""

import numpy as np
import pytest

from client.light.environment import built_in, exposed
from client.light.radiance_map import LUMINANCE, directions, polynomials, solid_angles
from client.light.skies import SKIES

ENVIRONMENTS = {environment.name: environment for environment in built_in()}


def test_every_one_can_light_a_person() -> None:
    assert list(ENVIRONMENTS) == list(SKIES)
    assert len({environment.digest for environment in ENVIRONMENTS.values()}) == len(SKIES)
    normals = directions(8, 16).reshape(-1, 3)
    for environment in ENVIRONMENTS.values():
        lit = exposed(environment, 0.5)
        assert np.isfinite(lit.whole).all()
        assert min((polynomials(normal) @ lit.rest).min() for normal in normals) > 0, environment.name
        assert lit.spot is None or max(lit.spot.color) < 10


def test_the_overcast_sky_is_three_times_brighter_above_than_at_the_horizon() -> None:
    sky = SKIES["overcast"]() @ LUMINANCE
    assert sky[0, 0] / sky[63, 0] == pytest.approx(3, rel=0.02)  # CIE type 1, nearly (1 + 2 sin e) / 3
    assert sky[42, 0] / sky[0, 0] == pytest.approx((1 + 2 * np.sin(np.radians(30))) / 3, rel=0.05)
    assert sky.std(axis=1).max() < 1e-12


def test_the_dome_gives_one_and_the_sun_its_ratio() -> None:
    spot = ENVIRONMENTS["clear_noon"].spot
    assert spot is not None
    assert LUMINANCE @ spot.color == pytest.approx(6, rel=0.01)
    assert np.degrees(np.arcsin(-spot.direction[1])) == pytest.approx(60, abs=0.8)
    assert spot.size < 2
    height = -directions(128, 256)[:64, :, 1]
    dome = (SKIES["overcast"]()[:64] @ LUMINANCE * height * solid_angles(128, 256)[:64]).sum()
    assert dome / np.pi == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("softbox_left", 0, -1), ("softbox_left", 1, -1), ("sun_behind", 2, -1), ("ring_light", 2, 1), ("low_sun", 0, 1)],
)
def test_lamps_stand_where_their_names_say(name: str, axis: int, sign: int) -> None:
    spot = ENVIRONMENTS[name].spot
    assert spot is not None
    assert spot.direction[axis] * sign > 0.4


def test_colors_are_those_of_the_hour() -> None:
    low, noon = ENVIRONMENTS["low_sun"].spot, ENVIRONMENTS["clear_noon"]
    assert low is not None
    assert low.color[0] > 2 * low.color[1] > 4 * low.color[2], "a low sun is orange"
    red, _, blue = noon.rest[0]
    assert blue > red, "and the sky is blue"
