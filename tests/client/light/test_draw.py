"""Promises of the lights: drawn from a seed and a path, within their ranges, the same in every version."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.light.columns import NO_OVERRIDES, parse_overrides
from client.light.distributions import Choice, Numbers, Uniform, UniformColor, read_lighting
from client.light.draw import draw_lights
from client.light.light import (
    COLUMNS,
    Light,
    check_patterns,
    light_of_row,
    light_tensors,
    named_light,
)
from client.light.values import parse_color
from contract.light import LIGHT, PATTERNS, SCENE, position, row_of

SEEDS = st.integers(0, 2**63)
PATHS = st.text(max_size=20)
DEFAULTS = read_lighting()


def within(number: float, drawn: Numbers) -> bool:
    assert isinstance(drawn, Uniform)
    return drawn.low - 1e-6 <= number <= drawn.high + 1e-6


@given(seed=SEEDS, path=PATHS)
def test_every_light_keeps_its_ranges(seed: int, path: str) -> None:
    light = draw_lights(DEFAULTS, seed, path, 1)[0]
    named = light.named()
    direction = [named[f"direction_{axis}"] for axis in "xyz"]
    assert math.isclose(math.hypot(*direction), 1.0, rel_tol=1e-6)
    assert direction[2] > 0, "the light is never behind the person"
    assert within(light.elevation, DEFAULTS.drawn["light_elevation"])
    assert within(light.azimuth, DEFAULTS.drawn["light_azimuth"])
    for name in ("ambient", "relief", "specular", "pattern_opacity", "pattern_blur", "albedo_blend", "gray"):
        assert within(named[name], DEFAULTS.drawn[name]), name
    assert named["pattern"] == ("none", *PATTERNS)[light.pattern_id]
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
    changed = dataclasses.replace(
        DEFAULTS,
        pattern_probability=0.0,
        drawn={
            **DEFAULTS.drawn,
            "ambient": Uniform(0.0, 0.1),
            "pattern_blur": Choice((9.0, 10.0), (1.0, 1.0)),
            "light_color": UniformColor((0.5, 0.5, 0.5), (0.9, 0.7, 0.5)),
            "gray": Uniform(0, 100, whole=True),
        },
    )
    before, after = (draw_lights(kind, seed, path, 1)[0].named() for kind in (DEFAULTS, changed))
    differing = {name for name in before if before[name] != after[name]}
    had_pattern = {"pattern", "pattern_id"} if before["pattern_id"] else set()
    colors = {"color_red", "color_green", "color_blue"}
    assert differing == {"ambient", "intensity", "pattern_blur", "gray"} | colors | had_pattern


@given(seed=SEEDS, path=PATHS)
def test_overriding_one_number_leaves_the_others(seed: int, path: str) -> None:
    asked = {"pattern_opacity": 0.5, "light_azimuth": -90.0}
    before, after = (draw_lights(DEFAULTS, seed, path, 1, given)[0].named() for given in (NO_OVERRIDES, asked))
    assert (after["pattern_opacity"], after["azimuth"]) == (0.5, 270.0)
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"pattern_opacity", "azimuth", "direction_x", "direction_y"}


def test_patterns_come_as_often_as_their_weights_say() -> None:
    names = [draw_lights(DEFAULTS, seed, "a.jpg", 1)[0].named()["pattern"] for seed in range(2000)]
    assert names.count("none") / 2000 == pytest.approx(1 - DEFAULTS.pattern_probability, abs=0.05)
    share = names.count("tree_foliage") / (2000 - names.count("none"))
    assert share == pytest.approx(0.2, abs=0.04)
    assert set(names) == {"none", *PATTERNS}


@given(share=st.floats(0, 1, exclude_max=True), weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=9))
def test_a_choice_is_always_one_of_its_values(share: float, weights: list[float]) -> None:
    assert Choice(tuple(range(len(weights))), tuple(weights)).at(share) in range(len(weights))


@given(share=st.floats(0, 1, exclude_max=True))
def test_whole_numbers_are_drawn_with_both_ends(share: float) -> None:
    assert Uniform(3, 5, whole=True).at(share) in (3, 4, 5)
    assert Uniform(3, 5, whole=True).at(0.999) == 5


@given(seed=SEEDS, path=PATHS)
def test_the_metadata_holds_exactly_what_is_sent(seed: int, path: str) -> None:
    lights = draw_lights(DEFAULTS, seed, path, 3)
    tensors = light_tensors(lights)
    assert {name: (rows.shape, rows.dtype) for name, rows in tensors.items()} == {
        LIGHT: ((1, 3, 16), np.dtype(np.float32)),
        SCENE: ((1, 3, 32), np.dtype(np.float32)),
    }
    for k, light in enumerate(lights):
        sent = {np.float32(light.named()[name]) for name in COLUMNS}
        assert {*tensors[LIGHT][0, k], *tensors[SCENE][0, k]} == sent | {np.float32(0)}


@given(seed=SEEDS, space=st.sampled_from(("linear", "srgb")))
def test_a_light_is_read_back_from_its_metadata(seed: int, space: str) -> None:
    light = draw_lights(dataclasses.replace(DEFAULTS, space=space), seed, "a.jpg", 1)[0]
    again = named_light(light.named())
    assert again.values == light.values
    assert again.named() == pytest.approx(light.named(), abs=1e-2)  # its angles come from float32


def test_azimuth_turns_from_the_right_downwards() -> None:
    lights = [light for n in range(20) for light in draw_lights(DEFAULTS, n, "a.jpg", 1)]
    for light in lights:
        x, y = light.values[:2]
        assert math.isclose(math.degrees(math.atan2(y, x)) % 360, light.azimuth, abs_tol=1e-3)


def test_the_space_is_one_for_a_photo() -> None:
    srgb = draw_lights(dataclasses.replace(DEFAULTS, space="srgb"), 0, "a.jpg", 1)[0]
    linear = draw_lights(DEFAULTS, 0, "a.jpg", 1)[0]
    assert [(light.numbers["arithmetic"], light.space) for light in (linear, srgb)] == [(0.0, "linear"), (1.0, "srgb")]
    with pytest.raises(ValueError, match="share their space"):
        light_tensors([srgb, linear])


def test_a_color_multiplies_the_values_of_its_space() -> None:
    asked = parse_overrides({"light_color": "#ff8000"})
    for space, green in (("linear", 0.2158605), ("srgb", 128 / 255)):
        light = draw_lights(dataclasses.replace(DEFAULTS, space=space), 0, "a.jpg", 1, asked)[0]
        assert light_tensors([light])[LIGHT][0, 0, 4:7] == pytest.approx((1.0, green, 0.0), abs=1e-6)
    assert parse_color("1 0.5 2e0") == (1.0, 0.5, 2.0)


def light_with(pattern: str) -> Light:
    return draw_lights(DEFAULTS, 0, "a.jpg", 1, parse_overrides({"pattern": pattern}))[0]


def test_a_pattern_must_be_the_servers_own() -> None:
    check_patterns([light_with("screen"), light_with("11")], None)
    check_patterns([light_with("none"), light_with("screen"), light_with("11")], [*PATTERNS, "bark"])
    check_patterns([light_with("1"), light_with("0")], ["bark"])
    with pytest.raises(ValueError, match=r"no pattern 12; it has 1 tree_foliage, .*11 bark$"):
        check_patterns([light_with("12")], [*PATTERNS, "bark"])
    with pytest.raises(ValueError, match=r"no pattern 3 \(window\); it has 1 bark$"):
        check_patterns([light_with("window")], ["bark"])
    with pytest.raises(ValueError, match=r"no pattern 1 \(tree_foliage\); it has 1 bark$"):
        check_patterns([light_with("tree_foliage")], ["bark"])
    assert light_with("11").named([*PATTERNS, "bark"])["pattern"] == "bark"
    assert light_with("11").named()["pattern"] == "11"


@pytest.mark.parametrize("count", [15, 17, 32, 49])
def test_a_light_is_a_row_of_light_or_of_both_tensors(count: int) -> None:
    with pytest.raises(ValueError, match="a light is a row of LIGHT, 16 numbers, or one with a row of SCENE"):
        light_of_row([0.0] * count)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ambient", math.nan, r"SCENE\[0,0\] \(ambient\) must be a number from 0 to 1, not nan"),
        ("pattern_id", 1.5, r"LIGHT\[0,9\] \(pattern_id\) must be a whole number"),
        ("direction_z", 0.5, r"LIGHT\[0,0:3\] \(direction\) must have length 1, not 0\.5"),
        ("direction_z", -1.0, r"LIGHT\[0,2\] \(direction_z\) must be a number from 0 to 1"),
        ("gray", 256.0, r"SCENE\[0,29\] \(gray\) must be a whole number from 0 to 255"),
    ],
)
def test_a_light_that_cannot_be_is_refused_by_its_number(name: str, value: float, sentence: str) -> None:
    row = np.array(plain_row())
    row[position(name) + (16 if name in ("ambient", "gray") else 0)] = value
    with pytest.raises(ValueError, match=sentence):
        light_of_row(row)


def test_what_no_number_of_the_table_stands_for_must_be_zero() -> None:
    row = np.array(plain_row())
    row[16 + 5] = 0.25
    with pytest.raises(ValueError, match=r"SCENE\[0,5\] has no meaning and must be 0, not 0\.25"):
        light_of_row(row)


def plain_row() -> list[float]:
    return [*row_of(LIGHT, {}), *row_of(SCENE, {})]


def test_the_lights_of_a_seed_never_change() -> None:
    """Datasets made with this seed must stay reproducible: never change these numbers."""
    light = draw_lights(DEFAULTS, 0, "astronaut.png", 1)[0]
    assert light.seed == "06ac0952ef2da01f"
    assert light.numbers == {
        **{"direction_x": 0.43909597, "direction_y": 0.35202956, "direction_z": 0.82660145},
        **{"ambient": 0.5414346, "intensity": 0.4585654, "relief": 1.0, "specular": 0.0, "shininess": 32.0},
        **{"pattern_id": 2.0, "pattern_opacity": 0.82209164, "pattern_blur": 3.819553, "albedo_blend": 0.17923376},
        **{"color_red": 1.0, "color_green": 1.0, "color_blue": 1.0, "pattern_seed": 8571723.0, "gray": 128.0},
        "arithmetic": 0.0,
    }
