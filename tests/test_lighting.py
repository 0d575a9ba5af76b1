"""Promises of the lights: drawn from a seed and a path, inside their ranges, never shifting."""

import dataclasses
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from client.lighting import COLUMNS, Lighting, draw_lights, light_tensor

SEEDS = st.integers(0, 2**63)
PATHS = st.text(max_size=20)
DEFAULTS = Lighting()


def within(number: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] - 1e-6 <= number <= bounds[1] + 1e-6


@given(seed=SEEDS, path=PATHS)
def test_every_light_keeps_its_ranges(seed: int, path: str) -> None:
    light = draw_lights(DEFAULTS, seed, path, 1)[0]
    named = dict(zip(COLUMNS, light.values, strict=True))
    direction = [named[f"direction_{axis}"] for axis in "xyz"]
    assert math.isclose(math.hypot(*direction), 1.0, rel_tol=1e-6)
    assert direction[2] > 0, "the light is never behind the person"
    assert within(light.elevation, DEFAULTS.elevation)
    assert within(light.azimuth, DEFAULTS.azimuth)
    assert within(named["ambient"], DEFAULTS.ambient)
    assert within(named["pattern_opacity"], DEFAULTS.pattern_opacity)
    assert within(named["albedo_blend"], DEFAULTS.albedo_blend)
    assert named["pattern_blur"] in DEFAULTS.pattern_blur
    assert named["pattern_seed"] == int(named["pattern_seed"])
    assert 0 <= named["pattern_seed"] < 2**24


@given(seed=SEEDS, path=PATHS, variants=st.integers(1, 5))
def test_a_variant_does_not_depend_on_how_many_there_are(seed: int, path: str, variants: int) -> None:
    lights = draw_lights(DEFAULTS, seed, path, variants)
    assert lights == draw_lights(DEFAULTS, seed, path, 6)[:variants]
    assert len({light.values for light in lights}) == variants


@given(seed=SEEDS, path=PATHS)
def test_another_seed_or_path_is_another_light(seed: int, path: str) -> None:
    lights = {draw_lights(DEFAULTS, s, p, 1)[0] for s in (seed, seed + 1) for p in (path, f"{path}x")}
    assert len(lights) == 4


@given(seed=SEEDS, path=PATHS)
def test_changing_one_distribution_leaves_the_others(seed: int, path: str) -> None:
    changed = dataclasses.replace(DEFAULTS, ambient=(0.0, 0.1), pattern_blur=(9.0,), gray=127)
    before, after = (draw_lights(kind, seed, path, 1)[0].named() for kind in (DEFAULTS, changed))
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"ambient", "pattern_blur", "gray"}


@given(seed=SEEDS, path=PATHS)
def test_the_metadata_holds_exactly_what_is_sent(seed: int, path: str) -> None:
    lights = draw_lights(DEFAULTS, seed, path, 3)
    tensor = light_tensor(lights)
    assert tensor.shape == (1, 3, 16)
    assert tensor.dtype == np.float32
    named = [[light.named()[name] for name in COLUMNS] for light in lights]
    assert np.array_equal(np.array([named], np.float32), tensor)


def test_azimuth_turns_from_the_right_downwards() -> None:
    lights = [light for n in range(20) for light in draw_lights(DEFAULTS, n, "a.jpg", 1)]
    for light in lights:
        x, y = light.values[:2]
        assert math.isclose(math.degrees(math.atan2(y, x)) % 360, light.azimuth, abs_tol=1e-3)


def test_the_lights_of_a_seed_never_shift() -> None:
    """Data sets made with this seed must stay reproducible: change these numbers never."""
    light = draw_lights(DEFAULTS, 0, "astronaut.png", 1)[0]
    assert light.seed == "06ac0952ef2da01f"
    assert light.values == (
        *(0.43909597, 0.35202956, 0.82660145),
        *(0.74961793, 1.0, 0.0, 32.0),
        *(0.0, 0.55209166, 21.0, 0.17923376),
        *(1.0, 1.0, 1.0, 8571723.0, 128.0),
    )
