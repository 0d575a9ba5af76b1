"""Promises of a picture's light: what is sent is what the metadata says, and an entry of it makes the same tensors."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.light.columns import NO_OVERRIDES, parse_overrides
from client.light.draw import draw_lights
from client.light.environment import built_in
from client.light.light import (
    SCENE_NAMES,
    SOURCE_NAMES,
    Light,
    check_patterns,
    light_of,
    light_of_rows,
    light_tensors,
    named_light,
    source_of,
)
from client.light.lighting import read_lighting
from client.light.values import parse_color
from contract.light import LIGHT, PATTERNS, SCENE, position, row_of

SEEDS = st.integers(0, 2**63)
DEFAULTS = read_lighting()
HALF_LIT = dataclasses.replace(DEFAULTS, environment_probability=0.5)
ENVIRONMENTS = built_in()


def draw(seed: int = 0, space: str = "linear", **texts: str) -> Light:
    """A light by an environment or by sources; in srgb always by sources."""
    lighting, environments = (HALF_LIT, ENVIRONMENTS) if space == "linear" else (DEFAULTS, ())
    chosen = dataclasses.replace(lighting, space=space)
    return draw_lights(chosen, seed, "a.jpg", 1, parse_overrides(texts) or NO_OVERRIDES, environments)[0]


@given(seeds=st.lists(SEEDS, min_size=1, max_size=4))
def test_the_metadata_holds_exactly_what_is_sent(seeds: list[int]) -> None:
    lights = [draw(seed) for seed in seeds]
    tensors = light_tensors(lights, 3)
    assert {name: (rows.shape, rows.dtype) for name, rows in tensors.items()} == {
        LIGHT: ((1, len(seeds), 3, 16), np.dtype(np.float32)),
        SCENE: ((1, len(seeds), 32), np.dtype(np.float32)),
    }
    for k, light in enumerate(lights):
        entry = light.named()
        for sent, source in zip(tensors[LIGHT][0, k], entry["sources"], strict=False):
            assert {name: sent[position(name)] for name in SOURCE_NAMES} == {
                name: np.float32(source[name]) for name in SOURCE_NAMES
            }
        scene = tensors[SCENE][0, k]
        assert scene[:27].reshape(9, 3).tolist() == np.array(entry["irradiance"], np.float32).tolist()
        for name in ("relief", "albedo_blend", "gray", "arithmetic"):
            assert scene[position(name)] == np.float32(entry[name])


@given(seed=SEEDS, space=st.sampled_from(("linear", "srgb")), background=st.sampled_from(("gray", "photo", "picture")))
def test_an_entry_of_the_metadata_makes_the_same_tensors_and_the_same_entry(
    seed: int, space: str, background: str
) -> None:
    light = draw(seed, space).over(background, "wall.jpg" if background == "picture" else None)
    entry = json.loads(json.dumps(light.named()))
    again = named_light(entry)
    assert {name: rows.tobytes() for name, rows in light_tensors([again]).items()} == {
        name: rows.tobytes() for name, rows in light_tensors([light]).items()
    }
    assert again.named() == entry
    assert (entry["background"], entry["backdrop"] is None) == (background, background != "picture")


def test_an_entry_has_the_keys_of_the_schema() -> None:
    plain, lit = draw(environment="none").named(), draw(environment="overcast").named()
    keys = {
        *("seed", "space", "environment", "sources", "irradiance", "relief", "albedo_blend", "gray", "arithmetic"),
        *("background", "backdrop", "instruction", "instructions"),
    }
    assert (set(plain), set(lit)) == ({*keys, "ambient"}, keys)
    assert set(plain["sources"][0]) == {"kind", "azimuth", "elevation", "pattern", *SOURCE_NAMES}
    assert lit["sources"] == []
    assert set(lit["environment"]) == {"name", "azimuth", "exposure", "split"}
    assert plain["instruction"] == plain["instructions"][0]
    assert len(plain["instructions"]) == len(set(plain["instructions"])) == 4


def test_an_entry_that_is_none_is_refused_by_what_it_lacks() -> None:
    entry = draw().named()
    with pytest.raises(ValueError, match=r"the light lacks 'relief'; give its entry as metadata\.json has it"):
        named_light({name: value for name, value in entry.items() if name != "relief"})
    with pytest.raises(ValueError, match=r"the light is no entry of metadata\.json"):
        named_light(entry | {"irradiance": 0.5})


def test_lights_of_fewer_sources_are_filled_up_with_absent_ones() -> None:
    one, three = draw(environment="none", setup="key"), draw(environment="none", setup="key_fill_rim")
    sent = light_tensors([one, three])[LIGHT]
    assert sent.shape == (1, 2, 3, 16)
    assert np.count_nonzero(sent[..., position("intensity")], axis=2).tolist() == [[1, 3]]
    assert sent[0, 0, 1].tolist() == row_of(LIGHT, {"intensity": 0})
    assert light_tensors([one])[LIGHT].shape == (1, 1, 1, 16)
    assert light_tensors([draw(environment="overcast")])[LIGHT].shape == (1, 1, 1, 16), "no source, and a row for none"


def test_angles_are_those_that_were_asked_for() -> None:
    for azimuth, elevation in ((0, 45), (90, 10), (-90, 0), (180, -30), (359.5, 90), (33.25, -90)):
        source = draw(light_azimuth=str(azimuth), light_elevation=str(elevation), environment="none").sources[0]
        assert (source.azimuth, source.elevation) == (azimuth % 360, elevation)


def test_the_space_and_the_background_are_one_for_a_photo() -> None:
    srgb, linear = draw(space="srgb"), draw()
    assert [(light.numbers["arithmetic"], light.space) for light in (linear, srgb)] == [(0.0, "linear"), (1.0, "srgb")]
    with pytest.raises(ValueError, match="share their space"):
        light_tensors([srgb, linear])
    with pytest.raises(ValueError, match="share their background"):
        light_tensors([linear, linear.over("photo")])


def light_with(pattern: str) -> Light:
    return draw(pattern=pattern, environment="none")


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
    assert light_with("11").named([*PATTERNS, "bark"])["sources"][0]["pattern"] == "bark"
    assert light_with("11").named()["sources"][0]["pattern"] == "11"
    assert parse_color("1 0.5 2e0") == (1.0, 0.5, 2.0)


def test_rows_of_the_tensors_are_a_light() -> None:
    light = draw(seed=5, environment="none", setup="key_fill")
    tensors = light_tensors([light], 4)
    both = light_of_rows(tensors[LIGHT][0, 0], tensors[SCENE][0, 0])
    assert [source.values for source in both.sources] == [source.values for source in light.sources]
    assert (both.scene, both.seed, both.ambient) == (light.scene, None, None)
    alone = light_of_rows(tensors[LIGHT][0, 0, 0])
    assert (alone.sources[0].values, alone.ambient) == (light.sources[0].values, 0.0)
    assert alone.scene == light_of(None, [], {}).scene


@pytest.mark.parametrize("shape", [(15,), (17,), (48,), (2, 15), (2, 2, 16)])
def test_a_light_is_rows_of_light_or_both_tensors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a light is a row of LIGHT, 16 numbers, several such rows, or both tensors"):
        light_of_rows(np.zeros(shape))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("irradiance_0_red", math.nan, r"SCENE\[0,0\] \(irradiance_0_red\) must be a number from 0 to 10, not nan"),
        ("pattern_id", 1.5, r"LIGHT\[0,1,9\] \(pattern_id\) must be a whole number"),
        ("direction_z", 0.5, r"LIGHT\[0,1,0:3\] \(direction\) must have length 1, not 0\.5"),
        ("direction_z", -1.5, r"LIGHT\[0,1,2\] \(direction_z\) must be a number from -1 to 1"),
        ("gray", 256.0, r"SCENE\[0,29\] \(gray\) must be a whole number from 0 to 255"),
    ],
)
def test_a_light_that_cannot_be_is_refused_by_its_number(name: str, value: float, sentence: str) -> None:
    rows, scene = np.array([row_of(LIGHT, {})] * 2, np.float32), np.array(row_of(SCENE, {}), np.float32)
    (scene if name in SCENE_NAMES else rows[1])[position(name)] = value
    with pytest.raises(ValueError, match=sentence):
        light_of_rows(rows, scene)


def test_a_source_has_the_contracts_defaults() -> None:
    source = source_of("rim", {"direction_x": 0.6, "direction_z": -0.8})
    assert (source.azimuth, round(source.elevation, 3), source.pattern_id) == (0.0, -53.13, 0)
    assert source.numbers["intensity"] == 1.0
