"""What the light does: ranges, symmetries, patterns, cast shadows. Pure tensors, no server."""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from contract.light import CHANNELS, LIGHT, SCENE
from export.networks.illumination import SLOPE, illuminate
from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from export.networks.shading import slopes
from tests.rig.lights import Numbers, light, tensors
from tests.rig.places import SAMPLES

unit = st.floats(0.0, 1.0, width=32)
lights = st.builds(
    lambda azimuth, elevation, numbers, pattern, seed: light(
        azimuth,
        elevation,
        ambient=numbers[0],
        relief=2.0 * numbers[1],
        specular=numbers[2],
        shininess=1.0 + 100.0 * numbers[3],
        pattern_id=pattern,
        pattern_opacity=numbers[4],
        pattern_blur=16.0 * numbers[5],
        albedo_blend=numbers[6],
        pattern_seed=seed,
    ),
    st.floats(0.0, 360.0),
    st.floats(1.0, 90.0),
    st.tuples(*[unit] * 7),
    st.integers(0, 10),
    st.integers(0, 2**24 - 1),
)


@pytest.fixture(scope="module")
def patterns() -> PatternBank:
    return PatternBank()


@pytest.fixture(scope="module")
def shadow(patterns: PatternBank) -> Inflate:
    return Inflate(patterns).eval()


def disc() -> Tensor:
    """A round mask, ALPHA [1,1,288,288]."""
    centre = (torch.arange(288) + 0.5) / 288 - 0.5
    distance = torch.hypot(centre[None, :], centre[:, None])
    return ((0.3 - distance) * 60.0 + 0.5).clamp(0.0, 1.0)[None, None]


def pixels() -> Tensor:
    """SHADOW_PIXELS of a real face, uint8 [1,3,518,518]."""
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        square = np.asarray(image.convert("RGB").resize((518, 518)))
    return torch.from_numpy(square.copy()).permute(2, 0, 1)[None]


ASPECT = torch.ones(1, 1)


@settings(max_examples=12, deadline=None)
@given(row=lights)
def test_any_light_gives_finite_shading_in_range(shadow: Inflate, row: Numbers) -> None:
    shading, normal, height = (one.float() for one in shadow(pixels(), disc(), ASPECT, *tensors(row)))
    assert torch.isfinite(shading).all()
    assert torch.isfinite(height).all()
    assert float((normal.norm(dim=1) - 1.0).abs().max()) < 2e-3
    assert float(shading.min()) >= 0.0
    assert float(shading[:, :, :3].max()) <= 1.001  # neither patterns nor cast shadows add light


def test_a_light_does_not_depend_on_the_others_or_on_the_batch(repository: Path) -> None:
    session = onnxruntime.InferenceSession(repository / "shadow" / "1" / "model.onnx")
    rows = [
        [
            light(40.0 * k, specular=0.2, pattern_id=k, pattern_seed=k, cast_shadow=1.0, irradiance_3_red=0.1),
            *[light(40.0 * k + 100.0, specular=0.3, color_red=0.5, cast_shadow=0.5)] * (k > 0),
        ]
        for k in range(5)
    ]
    feed = {
        "SHADOW_PIXELS": torch.cat((pixels(), pixels().flip(2), pixels().flip(3))).numpy(),
        "ALPHA": torch.cat((disc(), disc().roll(30, 2), disc().roll(-30, 3))).numpy(),
        "ASPECT": np.array([[1.0], [0.7], [1.5]], np.float32),
        **dict(zip((LIGHT, SCENE), (rows.numpy() for rows in tensors(*rows, photos=3)), strict=True)),
    }
    together = session.run(None, feed)[0]
    for photo in range(3):
        for k in range(5):
            alone = {name: value[photo : photo + 1] for name, value in feed.items()}
            alone |= {name: alone[name][:, k : k + 1] for name in (LIGHT, SCENE)}
            if k == 0:  # the second source of the others is absent here
                alone[LIGHT] = alone[LIGHT][:, :, :1]
            assert np.array_equal(session.run(None, alone)[0][0, 0], together[photo, k]), (photo, k)


@settings(max_examples=8, deadline=None)
@given(azimuth=st.floats(0.0, 360.0), elevation=st.floats(5.0, 85.0))
def test_mirrored_light_on_a_mirrored_photo_mirrors_the_result(
    shadow: Inflate, azimuth: float, elevation: float
) -> None:
    photo, mask = pixels(), disc().roll(20, 3)
    lit = {"specular": 0.3, "cast_shadow": 1.0, "angular_size": 10.0}
    here, normal, _ = shadow(photo, mask, ASPECT, *tensors(light(azimuth, elevation, **lit, irradiance_3_red=0.2)))
    turned = light(180.0 - azimuth, elevation, **lit, irradiance_3_red=-0.2)
    there, mirrored, _ = shadow(photo.flip(3), mask.flip(3), ASPECT, *tensors(turned))
    assert float((here - there.flip(4)).abs().max()) < 6e-3
    assert float((normal - mirrored.flip(3) * torch.tensor([-1.0, 1.0, 1.0]).reshape(1, 3, 1, 1)).abs().max()) < 2e-3


@settings(max_examples=8, deadline=None)
@given(azimuth=st.floats(0.0, 360.0), low=unit, high=unit)
def test_brighter_ambient_never_darkens(shadow: Inflate, azimuth: float, low: float, high: float) -> None:
    dim, bright = sorted((low, high))
    rows = (light(azimuth, ambient=dim), light(azimuth, ambient=bright))
    shading, _, _ = shadow(pixels(), disc(), ASPECT, *tensors(*rows))
    assert bool((shading[0, 1, 0] >= shading[0, 0, 0] - 1e-3).all())


def test_light_from_the_left_brightens_the_left(shadow: Inflate) -> None:
    gray = torch.full((1, 3, 518, 518), 128, dtype=torch.uint8)
    from_left, from_above = shadow(gray, disc(), ASPECT, *tensors(light(180.0), light(270.0)))[0][0, :, 0].float()
    inside = slice(150, 368)
    assert from_left[inside, 150:250].mean() > from_left[inside, 268:368].mean() + 0.1
    assert from_above[150:250, inside].mean() > from_above[268:368, inside].mean() + 0.1


def test_light_falls_at_the_same_angle_whatever_the_aspect() -> None:
    """The same cone in a square and in a photo twice as wide, both squashed to a square, has the same slopes."""
    size = 200
    x = (torch.arange(size) + 0.5) / size - 0.5
    square = -torch.hypot(x[None, :], x[:, None])[None, None]
    wide = -torch.hypot(2.0 * x[None, :], x[:, None])[None, None]
    steep_square = torch.hypot(*slopes(square, torch.tensor([[1.0]]))[0])
    steep_wide = torch.hypot(*slopes(wide, torch.tensor([[2.0]]))[0])
    assert float(steep_square[100, 150]) == pytest.approx(float(steep_wide[100, 150]), abs=0.02)
    assert float(steep_square[150, 100]) == pytest.approx(float(steep_wide[150, 100]), abs=0.02)


def lit(slope: Tensor, *pictures: Numbers | list[Numbers]) -> tuple[Tensor, Tensor]:
    """Diffuse and specular light on slopes [1,2,H,W] at relief 1 that all light reaches, float [K,3,H,W] each."""
    rows, scene = tensors(*pictures)
    reach = torch.ones(1, *rows.shape[1:3], *slope.shape[2:])
    diffuse, specular = illuminate(slope, rows, scene, reach, reach[:, :, 0])
    return diffuse[0], specular[0]


def test_shading_is_ambient_plus_lambert_on_a_known_slope() -> None:
    slope = torch.zeros(1, 2, 1, 1)
    slope[0, 0] = 1.0 / SLOPE  # rises by one per step to the right: the normal is (−1, 0, 1)/√2
    along = light(180.0, 45.0, ambient=0.2, specular=0.5, shininess=10.0, color_green=0.5)
    diffuse, specular = lit(slope, along, light(0.0, 45.0, ambient=0.2))
    assert diffuse[0].flatten().tolist() == pytest.approx([1.0, 0.6, 1.0], abs=1e-5)  # light along the normal
    halfway = math.cos(math.radians(22.5))
    strength = 0.8 * 0.5 * halfway**10  # of its intensity, 0.8, a source reflects one half
    assert specular[0].flatten().tolist() == pytest.approx([strength, 0.5 * strength, strength], abs=1e-4)
    assert diffuse[1].flatten().tolist() == pytest.approx([0.2] * 3, abs=1e-5)


def sphere(side: int = 65) -> tuple[Tensor, Tensor]:
    """Slopes [1,2,S,S] of the camera's side of a sphere, and its unit normals [3,S,S]; level outside of it."""
    place = (torch.arange(side) + 0.5) / side * 2.2 - 1.1
    x, y = place.expand(side, side), place.reshape(-1, 1).expand(side, side)
    inside = x * x + y * y < 0.98
    z = torch.sqrt((1.0 - x * x - y * y).clamp(min=0.02))
    normal = torch.where(inside, torch.stack((x, y, z)), torch.tensor([0.0, 0.0, 1.0]).reshape(3, 1, 1))
    return -(normal[:2] / normal[2:] / SLOPE)[None], normal


def test_an_environment_lights_a_sphere_by_ramamoorthi_and_hanrahan() -> None:
    """Irradiance by equation 13 of their paper, from radiance coefficients of orthonormal harmonics."""
    slope, normal = sphere()
    x, y, z = normal
    radiance = torch.randn(9, 3, generator=torch.Generator().manual_seed(1)) * 0.3
    radiance[0] = 3.0  # bright enough to be positive everywhere
    c1, c2, c3, c4, c5 = 0.429043, 0.511664, 0.743125, 0.886227, 0.247708
    l00, l1m1, l10, l11, l2m2, l2m1, l20, l21, l22 = radiance.reshape(9, 3, 1, 1)
    truth = (
        c1 * l22 * (x * x - y * y)
        + c3 * l20 * z * z
        + c4 * l00
        - c5 * l20
        + 2.0 * c1 * (l2m2 * x * y + l21 * x * z + l2m1 * y * z)
        + 2.0 * c2 * (l11 * x + l1m1 * y + l10 * z)
    ) / math.pi
    ours = torch.tensor([c4, 2 * c2, 2 * c2, 2 * c2, 2 * c1, 2 * c1, c5, 2 * c1, c1]).reshape(9, 1) / math.pi * radiance
    numbers = {
        f"irradiance_{index}_{channel}": float(ours[index, place])
        for index in range(9)
        for place, channel in enumerate(CHANNELS)
    }
    diffuse, _ = lit(slope, {"intensity": 0.0, **numbers})
    assert float(truth.min()) > 0.0
    assert float((diffuse[0] - truth).abs().max()) < 1e-4


def test_two_sources_give_the_sum_of_each() -> None:
    slope, _ = sphere()
    key = light(200.0, 30.0, ambient=0.0, specular=0.4, color_red=1.2)
    rim = light(20.0, -40.0, ambient=0.0, specular=0.2, color_blue=0.3)
    sums = [sum(lit(slope, one)[kind] for one in (key, rim)) for kind in (0, 1)]
    for found, expected in zip(lit(slope, [key, rim]), sums, strict=True):
        assert float((found - expected).abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("name", "value"), [("direction_z", 0.0), ("shininess", -1e6), ("pattern_blur", -5.0), ("pattern_seed", -1.0)]
)
def test_an_impossible_light_gives_finite_shading(repository: Path, name: str, value: float) -> None:
    """Through the exported file: the exporter drops an added 1e-12, which once left 0 ÷ 0."""
    session = onnxruntime.InferenceSession(repository / "shadow" / "1" / "model.onnx")
    rows, scene = tensors({"specular": 0.5, "pattern_id": 3.0, name: value})
    feed = {"SHADOW_PIXELS": pixels().numpy(), "ALPHA": disc().numpy(), "ASPECT": ASPECT.numpy()}
    answers = session.run(None, {**feed, LIGHT: rows.numpy(), SCENE: scene.numpy()})
    assert all(np.isfinite(answer).all() for answer in answers)
