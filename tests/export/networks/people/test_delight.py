"""Promises of `delight`: the light on a face is found on its skin and divided out; colours stay."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.colour import srgb_to_linear
from export.networks.people.delight import Delight
from export.networks.people.skin_light import skin_light, solve
from export.networks.retinex import Retinex, luminance
from tests.export.networks.people.photos import open_photo, square


@pytest.fixture(scope="module")
def delight() -> Delight:
    return Delight().eval()


def ball() -> tuple[Tensor, Tensor, Tensor]:
    """Slopes, cover and normals [1,3,60,60] of a half sphere of radius 25."""
    place = torch.arange(60) - 29.5
    x, y = place.reshape(1, 1, 1, 60).expand(1, 1, 60, 60), place.reshape(1, 1, 60, 1).expand(1, 1, 60, 60)
    cover = ((x * x + y * y).sqrt() < 22.0).float()
    z = torch.sqrt((625.0 - x * x - y * y).clamp(min=100.0))
    normal = torch.cat((x, y, z), 1) / 25.0 * cover
    return torch.cat((-x / z, -y / z), 1) * cover, cover, normal


def test_a_light_from_the_side_is_found_on_skin_with_eyebrows() -> None:
    slope, cover, normal = ball()
    light = 0.4 + 0.3 * normal[:, :1] - 0.2 * normal[:, 1:2] + 0.2 * normal[:, 2:]
    skin = 0.5 * light
    marked = skin.clone()
    marked[..., 18:21, 20:40] *= 0.2
    found = skin_light(marked, slope, cover)
    inside = cover > 0.0
    even = (skin / found)[inside]
    assert (even.std() / even.mean()).item() < 0.05
    assert (skin[inside].std() / skin[inside].mean()).item() > 0.25
    assert found[~inside].sub(1.0).abs().max() == 0.0


def test_elimination_solves_a_system() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = torch.rand((3, 6, 40), generator=generator)
    square_, right = rows @ rows.transpose(1, 2), torch.rand((3, 6, 1), generator=generator)
    wanted = torch.linalg.solve(square_ + 1e-2 * torch.eye(6), right)
    assert torch.allclose(solve(square_, right), wanted, atol=1e-3)


def stops_across(delight: Delight, pixels: Tensor, linear: Tensor) -> float:
    """How much brighter the face is where it looks to the photo's right than where it looks to the left, in stops."""
    points, side, _ = delight.faces(pixels / 255.0, torch.ones(1, 1))
    slope, _, cover = delight.relief(points, points[..., 2:], 0.04 * side, torch.ones(1, 1, 1), torch.ones(1, 1))
    small = F.interpolate(luminance(linear), slope.shape[2:], mode="area")
    across = slope[:, :1].masked_fill(cover < 0.85, 0.0)
    return torch.log2(small[across < -0.3].mean() / small[across > 0.3].mean()).item()


def test_both_cheeks_have_one_albedo(delight: Delight) -> None:
    pixels = square(open_photo("astronaut.png"), 768)
    with torch.no_grad():
        albedo, residual = delight(pixels)
        _, before = Retinex().eval()(pixels)
        lit = stops_across(delight, pixels, srgb_to_linear(pixels / 255.0))
        even = stops_across(delight, pixels, albedo.float())
    assert abs(lit) > 0.3
    assert abs(even) < 0.5 * abs(lit)
    assert residual.item() < before.item()


@pytest.mark.parametrize("name", ["grace_hopper.jpg", "coffee.png"])
def test_colours_stay_and_nothing_is_lifted_out_of_the_dark(delight: Delight, name: str) -> None:
    pixels = square(open_photo(name), 768)
    photo = srgb_to_linear(pixels / 255.0)
    with torch.no_grad():
        albedo, _ = delight(pixels)
    assert albedo.dtype == torch.float16
    free = (albedo < 0.99).all(1, keepdim=True) & (photo > 0.01).all(1, keepdim=True)
    gain = (albedo.float() / photo.clamp(min=1e-3)).masked_fill(~free, 1.0)
    assert (gain.amax(1) - gain.amin(1)).max() < 0.01
    if name == "coffee.png":
        assert gain.max() <= 1.81
        assert gain.min() >= 0.59
