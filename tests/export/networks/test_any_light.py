"""Properties of every light that the contract's table allows: finite, linear, mirror-symmetric, on its own."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from contract.light import CHANNELS, HARMONICS, LIGHT, PATTERNS, SCENE, SENT, WIDTHS, check_rows, position
from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from tests.export.networks.test_shading import ASPECT, disc, pixels

ODD_IN_X = [
    index
    for index, harmonic in enumerate(HARMONICS)
    if harmonic.replace("²", "").count("x") == 1 and "²" not in harmonic
]
Rows = tuple[Tensor, Tensor]  # LIGHT [1,1,L,16] and SCENE [1,1,32]


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    """One picture's rows with any number in its range; of the first source any built-in pattern or none."""
    seed, sources = draw(st.integers(0, 2**31)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(seed)
    made = {LIGHT: torch.zeros(1, 1, sources, WIDTHS[LIGHT]), SCENE: torch.zeros(1, 1, WIDTHS[SCENE])}
    for number in SENT:
        place = made[number.tensor][..., number.position]
        # Now and then the ends of the range, where faults are.
        share = torch.rand(place.shape, generator=generator) * 1.4 - 0.2
        value = number.interval.low + (number.interval.high - number.interval.low) * share.clamp(0.0, 1.0)
        made[number.tensor][..., number.position] = value.round() if number.interval.whole else value
    light, scene = made[LIGHT], made[SCENE]
    direction = torch.randn((1, 1, sources, 3), generator=generator)
    light[..., :3] = direction / direction.norm(dim=-1, keepdim=True)
    light[..., position("pattern_id")] = 0.0
    light[:, :, 0, position("pattern_id")] = draw(st.integers(0, len(PATTERNS)))
    check_rows(LIGHT, light.reshape(-1, WIDTHS[LIGHT]).tolist(), sources)
    check_rows(SCENE, scene.reshape(-1, WIDTHS[SCENE]).tolist())
    return light, scene


@pytest.fixture(scope="module")
def shadow() -> Inflate:
    return Inflate(PatternBank()).eval()


def shading_of(shadow: Inflate, light: Tensor, scene: Tensor, *, mirrored: bool = False) -> Tensor:
    """Shading of a face in a disc left of the middle, or of its mirror image, float [K,6,518,518]."""
    photo, mask = pixels(), disc().roll(-20, 3)
    if mirrored:
        photo, mask = photo.flip(3), mask.flip(3)
    with torch.no_grad():
        shading: Tensor = shadow(photo, mask, ASPECT, light, scene)[0][0].float()
    return shading


any_light = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@any_light
@given(one=rows(), other=rows())
def test_shading_is_finite_never_negative_and_does_not_depend_on_its_neighbour(
    shadow: Inflate, one: Rows, other: Rows
) -> None:
    sources = max(one[0].shape[2], other[0].shape[2])
    padded = [torch.nn.functional.pad(light, (0, 0, 0, sources - light.shape[2])) for light, _ in (one, other)]
    together = shading_of(shadow, torch.cat(padded, dim=1), torch.cat((one[1], other[1]), dim=1))
    assert torch.isfinite(together).all()
    assert float(together.min()) >= 0.0
    other[1][..., position("background")] = one[1][..., position("background")]
    for rows_, shading in zip((one, other), together, strict=True):
        rows_[1][..., position("background")] = one[1][..., position("background")]  # the first picture's holds
        alone = shading_of(shadow, *rows_)[0]
        assert torch.allclose(alone, shading, rtol=1e-3, atol=1e-3)


@any_light
@given(one=rows(), factor=st.floats(0.1, 4.0))
def test_shading_is_linear_in_the_intensity_of_sources_and_environment(
    shadow: Inflate, one: Rows, factor: float
) -> None:
    light, scene = one
    before = shading_of(shadow, light, scene)
    light[..., position("intensity")] *= factor
    first = position("irradiance_0_red")
    scene[..., first : first + len(HARMONICS) * len(CHANNELS)] *= factor
    assert torch.allclose(shading_of(shadow, light, scene), factor * before, rtol=2e-3, atol=2e-3)


@any_light
@given(one=rows())
def test_a_mirrored_light_gives_the_mirrored_shading(shadow: Inflate, one: Rows) -> None:
    light, scene = one
    light[..., position("pattern_id")] = 0.0  # patterns are not mirrored
    before = shading_of(shadow, light, scene)
    light[..., 0] *= -1.0
    for index in ODD_IN_X:
        scene[..., 3 * index : 3 * index + 3] *= -1.0
    after = shading_of(shadow, light, scene, mirrored=True).flip(3)
    # Steep places turn a last bit of the height into more; a highlight of a thousand is a point.
    missed = (after - before).abs() / before.amax().clamp(min=1.0)
    assert float(missed.mean()) < 1e-4
    assert float((missed > 0.02).float().mean()) < 1e-3
