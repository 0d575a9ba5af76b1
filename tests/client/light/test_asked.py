"""Promises of the API's lights: every form gives the light that it says."""

from typing import Any

import numpy as np
import pytest

from client.light.asked import Lights, asked_lights
from client.light.draw import draw_lights
from client.light.environment import built_in
from client.light.light import Light, light_tensors
from client.light.lighting import read_lighting
from contract.light import LIGHT, SCENE, row_of

DEFAULTS = read_lighting()


def ask(lights: Lights, seed: int = 5) -> list[Light]:
    return asked_lights(lights, DEFAULTS, seed, "a.jpg", ())


def test_a_number_of_lights_are_those_of_a_csvs_row() -> None:
    assert ask(3) == draw_lights(DEFAULTS, 5, "a.jpg", 3)
    assert ask(None) == ask(3)[:1]
    assert asked_lights(1, DEFAULTS, 5, "a.jpg", built_in())[0].environment


def test_arrays_are_lights_of_one_source_or_of_several() -> None:
    row = np.array(row_of(LIGHT, {}), np.float32)
    assert [len(light.sources) for light in ask(row)] == [1]
    assert [len(light.sources) for light in ask(np.stack([row, row, row]))] == [1, 1, 1]
    several = np.stack([np.stack([row, row]), np.stack([row, np.array(row_of(LIGHT, {"intensity": 0}))])])
    assert [len(light.sources) for light in ask(several)] == [2, 1]
    assert [len(light.sources) for light in ask(list(several))] == [2, 1]
    scene = row_of(SCENE, {"irradiance_0_red": 0.25})
    (light,) = ask({"LIGHT": several[0], "SCENE": scene})
    assert (len(light.sources), light.numbers["irradiance_0_red"]) == (2, 0.25)
    assert [one.numbers for one in ask([{"LIGHT": several[0], "SCENE": scene}] * 2)] == [light.numbers] * 2


def test_entries_and_lights_are_taken_as_they_are() -> None:
    drawn = ask(3)
    for form in (drawn, [light.named() for light in drawn]):
        assert {name: rows.tobytes() for name, rows in light_tensors(ask(form)).items()} == {
            name: rows.tobytes() for name, rows in light_tensors(drawn).items()
        }


def test_sources_of_ones_own_are_exact() -> None:
    (light,) = ask(
        {
            "sources": [
                {"light_azimuth": 180, "light_elevation": 30, "pattern": "window", "angular_size": 20},
                {"kind": "rim", "light_elevation": -20, "light_color": (1, 0.5, 0.25), "intensity": 0.8},
            ],
            "ambient": 0.2,
        }
    )
    key, rim = light.named()["sources"]
    assert (key["kind"], key["azimuth"], key["elevation"], key["pattern"]) == ("key", 180.0, 30.0, "window")
    assert (key["angular_size"], key["intensity"], key["pattern_opacity"]) == (20.0, 1.0, 0.75)
    assert (rim["kind"], rim["elevation"], rim["color_blue"], rim["intensity"]) == ("rim", -20.0, 0.25, 0.8)
    assert (light.ambient, light.numbers["irradiance_0_red"]) == (0.2, 0.2)
    assert light.numbers["albedo_blend"] == ask(1)[0].numbers["albedo_blend"], "the rest is drawn"


def test_an_environment_goes_with_sources_of_ones_own() -> None:
    (light,) = ask({"environment": "overcast", "environment_azimuth": 90, "sources": [{"light_azimuth": 10}]})
    assert [source.kind for source in light.sources] == ["key"]
    assert light.environment is not None
    assert (light.environment.name, light.environment.azimuth) == ("overcast", 90.0)
    assert ask({"sources": [{}]})[0].numbers["irradiance_0_red"] == 0.0, "no light but what is asked for"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"azimut": 3}, r"a light has no azimut; did you mean light_azimuth\?"),
        ({"seed": 3}, r"a light has no seed; did you mean pattern_seed\?"),
        ({"background": "photo"}, "a light has no background; choose from"),
        ({"ambient": 2}, "ambient must be a number from 0 to 1, not 2"),
        ({"sources": []}, "sources must hold at least one source"),
        ({"sources": [{}], "light_azimuth": 3}, "a light with sources takes no light_azimuth besides; write it into"),
        ({"sources": [{"azimuth": 3}]}, r"a source has no azimuth; did you mean light_azimuth\?"),
        ({"sources": [{"kind": "spot"}]}, "the kind of a source must be one of key, fill, rim, sun, not 'spot'"),
        ({"sources": [{"intensity": 11}]}, "intensity must be a number from 0 to 10, not 11"),
        ({"setup": "fill"}, "setup must be one of key, key_fill, key_rim, key_fill_rim, not 'fill'"),
        ({"environment": "moon"}, "environment must be one of none, "),
        ({"LIGHT": [[0] * 16]}, "a light of tensors is a dict of LIGHT and SCENE, and nothing besides"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ask(asked)
