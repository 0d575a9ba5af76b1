"""Promises of a dataset's records: every column of the row, the same types in all, nothing null. No server."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.input.row import Row
from client.light.light import Scenery, light_of, named_light, source_of
from client.output.files import encode_record
from client.output.plan import Plan
from client.output.records import FIELDS, LIGHT, Records, typed, unique_names

KEY = light_of("0123456789abcdef", [source_of("key", {"intensity": 0.5}, "window")], {}, ambient=0.5)
SKY = light_of("fedcba9876543210", [], {"irradiance_0_red": 0.7}, environment=Scenery("overcast", 90.0, 0.5, False))
METADATA = {"score": 1, "box": [0, 0, 1, 1], "width": 64, "height": 48, "seed": 7, "prompt": "person", "count": 1}
TEXTS = st.text(st.characters(codec="utf-8") | st.just("\udce9"), max_size=8)


def record(columns: list[str], values: tuple[str, ...], plan: Plan | None = None) -> dict[str, Any]:
    metadata = METADATA | {"lights": [KEY.named()]}
    (made,) = Records(plan or Plan(), columns).of_row(Row(3, values, values[0]), metadata)
    return made


def shape(value: Any) -> Any:
    """A value's types, lists by their first element."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(value[0])] if isinstance(value, list) else type(value).__name__


@given(table=st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=6))
def test_every_column_survives_whatever_it_is_called(table: dict[str, str]) -> None:
    made = record(list(table), tuple(table.values()), Plan(dataset="parquet"))
    read = json.loads(encode_record(made))
    assert read == made
    own = {name: value for name, value in table.items() if name.strip() != "split"}
    assert len(made) == len(FIELDS) + len(own)
    stripped = [name.strip() for name in table]
    for name, value in own.items():
        if "\udce9" not in name + value and name.strip() and stripped.count(name.strip()) == 1:
            assert made[name.strip()] == value


def test_names_that_occur_twice_or_not_at_all_are_told_apart() -> None:
    assert unique_names(["a", "a ", "", "a_2", "caf\udce9"]) == ["a", "a_2", "column_3", "a_2_2", "café"]


def test_columns_keep_their_names_and_fields_give_way() -> None:
    made = record(["image_path", "score", "light", "mask"], ("a.png", "9", "", ""), Plan(dataset="parquet"))
    assert (made["score"], made["relight_score"], made["relight_light"]["seed"]) == ("9", 1.0, KEY.seed)
    names = Records(Plan(("output", "mask"), dataset="parquet"), ["image_path", "mask"]).pictures
    assert names == {"output": "output", "mask": "relight_mask"}
    folder = Records(Plan(("output", "environment", "mask")), ["image", "file_name", "mask_file_name"])
    assert folder.pictures == {"output": "relight_image", "environment": "environment_path", "mask": "mask"}
    assert list(folder.columns) == ["image", "file_name_text", "mask_file_name_text"]


def test_lights_of_every_kind_have_the_same_types_and_come_back() -> None:
    key, sky = (typed(light.named(), LIGHT) for light in (KEY, SKY))
    assert shape(key) == shape(sky)
    assert (sky["sources"][0]["kind"], sky["sources"][0]["intensity"], key["environment"]["name"]) == ("", 0.0, "")
    assert [named_light(one) for one in (key, sky)] == [named_light(light.named()) for light in (KEY, SKY)]


@pytest.mark.parametrize("missing", [{}, METADATA])
def test_what_the_server_does_not_say_is_empty(missing: dict[str, Any]) -> None:
    (made,) = Records(Plan(), ["image_path"]).of_row(Row(0, ("a",), "a"), {"lights": [KEY.named()]} | missing)
    full = record(["image_path"], ("a",))
    assert shape(made) == shape(full)
    assert (full["original"], full["crop"]) == ([64, 48], [0.0, 0.0, 64.0, 48.0])
