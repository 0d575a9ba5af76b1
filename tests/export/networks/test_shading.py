"""What the light does: ranges, symmetries, patterns, cast shadows. Pure tensors, no server."""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from contract.light import LIGHT, SCENE
from export.errors import ExportError
from export.networks.filters import gaussian_blur
from export.networks.inflate import Inflate
from export.networks.pattern_bank import BLUR_SCALE, VARIANTS, PatternBank
from export.networks.patterns import PATTERNS, SIDE, Canvas, draw
from export.networks.shading import cast_shadows, shade, slopes
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
    shading = shadow(pixels(), disc(), ASPECT, *tensors(row)).float()
    assert torch.isfinite(shading).all()
    assert float(shading.min()) >= 0.0
    assert float(shading[:, :, 0].max()) <= 1.001  # diffuse × pattern never adds light


def test_a_light_does_not_depend_on_the_others_or_on_the_batch(repository: Path) -> None:
    session = onnxruntime.InferenceSession(repository / "shadow" / "1" / "model.onnx")
    rows = [light(40.0 * k, specular=0.2, pattern_id=k % 11, pattern_seed=k) for k in range(5)]
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
            assert np.array_equal(session.run(None, alone)[0][0, 0], together[photo, k]), (photo, k)


@settings(max_examples=8, deadline=None)
@given(azimuth=st.floats(0.0, 360.0), elevation=st.floats(5.0, 85.0))
def test_mirrored_light_on_a_mirrored_photo_mirrors_the_result(
    shadow: Inflate, azimuth: float, elevation: float
) -> None:
    photo, mask = pixels(), disc().roll(20, 3)
    here = shadow(photo, mask, ASPECT, *tensors(light(azimuth, elevation, specular=0.3)))
    there = shadow(photo.flip(3), mask.flip(3), ASPECT, *tensors(light(180.0 - azimuth, elevation, specular=0.3)))
    assert float((here - there.flip(4)).abs().max()) < 4e-3


@settings(max_examples=8, deadline=None)
@given(azimuth=st.floats(0.0, 360.0), low=unit, high=unit)
def test_brighter_ambient_never_darkens(shadow: Inflate, azimuth: float, low: float, high: float) -> None:
    dim, bright = sorted((low, high))
    shading = shadow(pixels(), disc(), ASPECT, *tensors(light(azimuth, ambient=dim), light(azimuth, ambient=bright)))
    assert bool((shading[0, 1, 0] >= shading[0, 0, 0] - 1e-3).all())


def test_light_from_the_left_brightens_the_left(shadow: Inflate) -> None:
    gray = torch.full((1, 3, 518, 518), 128, dtype=torch.uint8)
    from_left, from_above = shadow(gray, disc(), ASPECT, *tensors(light(180.0), light(270.0)))[0, :, 0].float()
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


def test_shading_is_ambient_plus_lambert_on_a_known_slope() -> None:
    from export.networks.shading import SLOPE

    slope = torch.zeros(1, 2, 1, 1)
    slope[0, 0] = 1.0 / SLOPE  # rises by one per step to the right: the normal is (−1, 0, 1)/√2
    diffuse, specular = shade(slope, *tensors(light(180.0, 45.0, ambient=0.2, specular=0.5, shininess=10.0)))
    assert float(diffuse) == pytest.approx(1.0, abs=1e-5)  # light along the normal
    halfway = math.cos(math.radians(22.5))
    assert float(specular) == pytest.approx(0.5 * halfway**10, abs=1e-4)
    away, _ = shade(slope, *tensors(light(0.0, 45.0, ambient=0.2)))
    assert float(away) == pytest.approx(0.2, abs=1e-5)


@pytest.mark.parametrize("number", range(1, 11))
def test_each_pattern_shades_differs_by_seed_and_repeats(patterns: PatternBank, number: int) -> None:
    assert patterns.names[number - 1] == PATTERNS[number - 1].__name__
    rows, _ = tensors(*(light(pattern_id=number, pattern_opacity=0.8, pattern_seed=seed) for seed in (1, 1, 2)))
    first, again, other = patterns(rows, ASPECT)[0]
    assert torch.equal(first, again)
    assert float((first - other).abs().mean()) > 0.02
    assert 0.2 - 1e-5 <= float(first.min()) < 0.6
    assert float(first.max()) <= 1.0


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: str(pattern.__name__))
def test_each_pattern_is_seen_on_a_face(pattern: Callable[[Canvas], Tensor]) -> None:
    """Within a face's width of a texture, at the strongest blur that is drawn, there are both light and shadow."""
    for variant in range(VARIANTS):
        texture = draw(pattern, 100 * PATTERNS.index(pattern) + variant)
        assert 0.1 <= float(texture.mean()) <= 0.75
        faces = F.unfold(gaussian_blur(texture[None, None], 8.0 * BLUR_SCALE), SIDE // 5, stride=SIDE // 16)
        sparse = pattern.__name__ == "branch"  # bare twigs before an open sky
        assert float(faces.std(1).median()) >= (0.2 if sparse else 0.325)


def test_no_pattern_and_unknown_patterns_take_no_light(patterns: PatternBank) -> None:
    rows, _ = tensors(light(pattern_id=0), light(pattern_id=11))
    assert bool((patterns(rows, ASPECT) == 1.0).all())


def test_blur_softens_a_pattern_step_by_step(patterns: PatternBank) -> None:
    rows, _ = tensors(*(light(pattern_id=10, pattern_blur=blur) for blur in (0.0, 2.0, 4.0, 8.0, 16.0)))
    drawn = patterns(rows, ASPECT)[0]
    edges = [float((one[:, 1:] - one[:, :-1]).abs().max()) for one in drawn]
    assert edges == sorted(edges, reverse=True)
    assert edges[0] > 2.0 * edges[-1]


def test_a_folder_of_materials_joins_or_replaces_the_patterns(tmp_path: Path, patterns: PatternBank) -> None:
    half = np.full((300, 200), 255, np.uint8)
    half[:, :100] = 0  # dark on the left
    cv2.imwrite(str(tmp_path / "gobo.png"), half)
    joined, alone = PatternBank(tmp_path), PatternBank(tmp_path, built_in=False)
    assert joined.names == (*patterns.names, "gobo")
    assert alone.names == ("gobo",)
    rows, _ = tensors(light(pattern_id=1, pattern_opacity=1.0, pattern_blur=0.0))
    drawn = alone(rows, ASPECT)[0, 0]
    assert float(drawn[:, 20:80].mean()) < 0.05
    assert float(drawn[:, 440:500].mean()) > 0.95


def test_materials_that_are_no_images_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds no images"):
        PatternBank(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(ExportError, match=r"notes\.txt is not an image"):
        PatternBank(tmp_path)


def test_a_ridge_casts_a_shadow_away_from_the_light_softer_with_distance() -> None:
    height = torch.zeros(1, 1, 128, 128)
    height[:, :, :, 60:64] = 1.0
    shadow = cast_shadows(height, *tensors(light(180.0, 20.0), light(180.0, 85.0)), ASPECT)[0]
    low, high = shadow[0, 64], shadow[1, 64]
    assert float(low[66:76].mean()) > 0.5  # behind the ridge, seen from a light on the left
    assert float(low[:55].max()) < 0.05  # before it
    assert float(low[66:76].mean()) > float(low[90:100].mean())
    assert float(high.sum()) < 0.5 * float(low.sum())  # a high light casts short shadows


@pytest.mark.parametrize(
    ("name", "value"), [("direction_z", 0.0), ("shininess", -1e6), ("pattern_blur", -5.0), ("pattern_seed", -1.0)]
)
def test_an_impossible_light_gives_finite_shading(repository: Path, name: str, value: float) -> None:
    """Through the exported file: the exporter drops an added 1e-12, which once left 0 ÷ 0."""
    session = onnxruntime.InferenceSession(repository / "shadow" / "1" / "model.onnx")
    rows, scene = tensors({"specular": 0.5, "pattern_id": 3.0, name: value})
    feed = {"SHADOW_PIXELS": pixels().numpy(), "ALPHA": disc().numpy(), "ASPECT": ASPECT.numpy()}
    assert np.isfinite(session.run(None, {**feed, LIGHT: rows.numpy(), SCENE: scene.numpy()})[0]).all()
