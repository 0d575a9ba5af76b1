"""Cast shadows: as long as the light is low, as soft as the source is large. Pure tensors, no server."""

import math

import pytest
import torch
from torch import Tensor

from contract.light import position
from export.networks.cast_shadows import visibility
from export.networks.illumination import NATURAL
from tests.rig.lights import Numbers, light, tensors

ASPECT = torch.ones(1, 1)


def shadow_of_a_wall(*pictures: Numbers) -> Tensor:
    """How visible sources are along a row behind a wall 0.1 photo heights high that ends at x = ½; float [K,259]."""
    x = (torch.arange(518) + 0.5) / 518
    height = ((x < 0.5) * (0.1 / NATURAL)).float().expand(1, 1, 518, 518)
    rows, scene = tensors(*pictures)
    return visibility(height, rows, scene[:, :, position("relief")], ASPECT)[0, :, 0, 130]


@pytest.mark.parametrize("elevation", [20.0, 30.0, 45.0])
def test_a_wall_casts_its_shadow_as_far_as_the_light_is_low(elevation: float) -> None:
    (seen,) = shadow_of_a_wall(light(180.0, elevation, cast_shadow=1.0))
    length = 0.1 / math.tan(math.radians(elevation))
    assert float(seen[:120].min()) > 0.99  # on the wall
    dark = (seen < 0.5).nonzero().flatten().float() / 259
    assert float(dark.max()) == pytest.approx(0.5 + length, abs=0.01 + 0.1 * length)
    assert float(dark.min()) == pytest.approx(0.5, abs=0.02)


def test_a_larger_source_casts_a_softer_shadow_and_strength_scales_it() -> None:
    hard, soft, half = shadow_of_a_wall(
        light(180.0, 30.0, cast_shadow=1.0, angular_size=2.0),
        light(180.0, 30.0, cast_shadow=1.0, angular_size=20.0),
        light(180.0, 30.0, cast_shadow=0.5, angular_size=2.0),
    )
    partial = [int(((one > 0.05) & (one < 0.95)).sum()) for one in (hard, soft)]
    assert partial[1] > 2 * partial[0]
    assert float((half - (0.5 + 0.5 * hard)).abs().max()) < 1e-6


def test_a_light_from_the_front_casts_no_shadow() -> None:
    (seen,) = shadow_of_a_wall(light(0.0, 90.0, cast_shadow=1.0))
    assert float(seen.min()) > 0.99
