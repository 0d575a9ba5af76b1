"""The override columns: a cell is used as written, an invalid one fails its row, a typo gives a warning."""

import pytest

from client.errors import RowError
from client.light.columns import COLUMN_NAMES, LIGHT_NAMES, NO_OVERRIDES, find_columns, parse_overrides
from client.light.values import NO_PATTERN, Pattern
from contract.light import TABLE


def test_cells_become_overrides_and_empty_ones_do_not() -> None:
    columns = find_columns(("seed", "image_path", " ambient ", "pattern", "prompt"))
    assert columns.warnings == ()
    assert columns.read(("7", "a.jpg", " 0.5 ", "window", "a dog")) == {
        **{"seed": 7, "ambient": 0.5, "pattern": Pattern(3, "window"), "prompt": "a dog"}
    }
    assert columns.read(("", "a.jpg", " ", "", "")) == NO_OVERRIDES
    assert find_columns(("image_path", "name")).read(("a.jpg", "b")) == NO_OVERRIDES


def test_every_column_takes_both_ends_of_its_range() -> None:
    numbers = {number.name: number.interval for number in TABLE if number.draw >= 0}
    others = {"pattern", "light_color", "setup", "environment", "environment_azimuth"}
    assert (set(LIGHT_NAMES), set(COLUMN_NAMES)) == (
        {*numbers} | others,
        {*LIGHT_NAMES, "prompt", "seed", "background"},
    )
    for name, interval in numbers.items():
        for end in (interval.low, interval.high):
            assert parse_overrides({name: str(end)})[name] == end


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("pattern", "none", NO_PATTERN),
        ("pattern", "12", Pattern(12)),
        ("pattern", "3.0", Pattern(3)),
        ("setup", " key_rim ", ("key", "rim")),
        ("environment", "low_sun ", "low_sun"),
        ("environment_azimuth", "-90", -90.0),
        ("background", " walls/1.jpg", "walls/1.jpg"),
        ("light_color", "#000000", (0.0, 0.0, 0.0)),
        ("light_color", "1 0.5 0", (1.0, 0.5, 0.0)),
        ("seed", "9007199254740993", 9007199254740993),  # float64 would round it
        ("seed", "7.0", 7),
        ("prompt", " person ", " person "),
    ],
)
def test_texts_that_are_more_than_numbers(name: str, text: str, value: object) -> None:
    assert parse_overrides({name: text}) == {name: value}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("ambient", "1.2", "column ambient must be a number from 0 to 1, not 1.2"),
        ("ambient", "dark", "column ambient must be a number from 0 to 1, not 'dark'"),
        ("ambient", "nan", "column ambient must be a number from 0 to 1, not nan"),
        ("light_elevation", "-95", "column light_elevation must be a number from -90 to 90, not -95"),
        ("gray", "12.5", "column gray must be a whole number from 0 to 255, not 12.5"),
        ("seed", "x", "column seed must be a whole number from -9223372036854775808 to 9223372036854775807, not 'x'"),
        ("light_color", "#fff", "column light_color must be #rrggbb or three numbers r g b, each from 0 to 10"),
        ("light_color", "1 2", "column light_color must be #rrggbb or three numbers r g b"),
        ("pattern", "Windows", "did you mean window?"),
        ("setup", "rim", "column setup must be one of key, key_fill, key_rim, key_fill_rim, not 'rim'"),
        ("pattern", "-1", "column pattern must be one of none, tree_foliage"),
    ],
)
def test_an_invalid_cell_names_its_column_and_range(name: str, text: str, sentence: str) -> None:
    with pytest.raises(RowError) as refused:
        find_columns((name,)).read((text,))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        ("light_azimut", "light_azimuth"),
        ("Ambient", "ambient"),
        ("light-azimuth", "light_azimuth"),
        ("azimuth", "light_azimuth"),
        ("Azimut", "light_azimuth"),
        ("grey", "gray"),
        ("light_colour", "light_color"),
        ("pattern id", "pattern"),
        ("prompts", "prompt"),
    ],
)
def test_a_column_that_looks_like_an_override_gives_a_warning(column: str, meant: str) -> None:
    (warning,) = find_columns(("image_path", column)).warnings
    assert warning == f"the column {column} has no effect; did you mean {meant}?"


def test_ordinary_columns_give_no_warning() -> None:
    ordinary = (
        "image_path",
        "lighting_score",
        "name",
        "id",
        "split",
        "path",
        "mask",
        "score",
        "output_image_path",
        "size",
        "",
    )
    assert find_columns((*ordinary, "error", "caption", "width", *COLUMN_NAMES)).warnings == ()


def test_a_column_that_occurs_twice_gives_a_warning() -> None:
    columns = find_columns(("seed", "seed"))
    assert columns.warnings == ("the column seed occurs twice; the first one is used",)
    assert columns.read(("1", "2"))["seed"] == 1
