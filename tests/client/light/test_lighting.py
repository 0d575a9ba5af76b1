"""Promises of the lighting file: every line has its effect, and an invalid one is refused with its key."""

from pathlib import Path

import pytest

from client.light.distributions import Choice, SettingsError, Uniform, UniformColor
from client.light.lighting import LIGHTING_FILE, read_lighting
from client.light.values import Pattern

DEFAULT = LIGHTING_FILE.read_text("utf-8")


def changed(folder: Path, old: str, new: str) -> Path:
    """The default file with its one line `old` changed."""
    assert DEFAULT.count(f"\n{old}\n") == 1
    path = folder / "own.toml"
    path.write_text(DEFAULT.replace(f"\n{old}\n", f"\n{new}\n"), "utf-8")
    return path


def test_a_number_a_range_and_choices(tmp_path: Path) -> None:
    assert read_lighting().drawn["relief"] == Uniform(1.0, 1.0)
    assert read_lighting().drawn["ambient"] == Uniform(0.32, 0.69)
    own = read_lighting(changed(tmp_path, "relief = 1.0", "relief = { choices = [0.5, 1, 2], weights = [1, 0, 3] }"))
    assert own.drawn["relief"] == Choice((0.5, 2), (1, 3)), "what has no weight cannot be drawn"
    own = read_lighting(changed(tmp_path, "gray = 128", "gray = { choices = [127, 128] }"))
    assert own.drawn["gray"] == Choice((127, 128), (1, 1))


def test_colors_are_hex_or_multipliers(tmp_path: Path) -> None:
    line = 'color = "#ffffff"'
    own = read_lighting(changed(tmp_path, line, 'color = ["#000000", "1 0.5 2"]'))
    assert own.drawn["light_color"] == UniformColor((0.0, 0.0, 0.0), (1.0, 0.5, 2.0))
    own = read_lighting(changed(tmp_path, line, 'color = { choices = ["#ffffff", "1 0.5 2"] }'))
    assert own.drawn["light_color"] == Choice(((1.0, 1.0, 1.0), (1.0, 0.5, 2.0)), (1, 1))


def test_materials_of_ones_own_go_by_their_number(tmp_path: Path) -> None:
    own = read_lighting(changed(tmp_path, "cloud = 0.03", "11 = 0.03")).drawn["pattern"]
    assert Pattern(11) in own.values
    assert Pattern(9, "cloud") not in own.values


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("relief = 1.0", "relief = 1.0\nreleif = 2", r"there is no key light.releif; did you mean light.relief\?"),
        (
            "gray = 128",
            "gray = 128\nambient = 0.5",
            r"there is no key ambient; did you mean pattern.ambient or light.ambient\?",
        ),
        ("[light]", "[lights]", r"there is no key lights; did you mean light"),
        ("relief = 1.0", "", r"the key light.relief is missing"),
        ("ambient = [0.32, 0.69]", "ambient = [0.69, 0.32]", r"light.ambient has a range that starts at 0.69"),
        ("ambient = [0.32, 0.69]", "ambient = [0.32, 1.69]", r"light.ambient must be a number from 0 to 1, not 1.69"),
        ("ambient = [0.32, 0.69]", "ambient = [0.3, 0.4, 0.5]", r"light.ambient must be a range \[low, high\]"),
        ("ambient = [0.32, 0.69]", "ambient = nan", r"light.ambient must be a number from 0 to 1, not nan"),
        ("ambient = [0.32, 0.69]", "ambient = true", r"light.ambient must be a number .* not True"),
        ("elevation = [10, 80]", "elevation = [10, 100]", r"light.elevation must be a number from -90 to 90, not 100"),
        ("gray = 128", "gray = 127.5", r"gray must be a whole number from 0 to 255, not 127.5"),
        ("relief = 1.0", "relief = { choices = [1, 2], weights = [1] }", r"light.relief must have as many weights"),
        (
            "relief = 1.0",
            "relief = { choices = [1], weights = [-1] }",
            r"light.relief has a weight that .* not -1",
        ),
        ("relief = 1.0", "relief = { choice = [1] }", r"light.relief must have a list of choices.* and has choice"),
        ('color = "#ffffff"', 'color = "white"', r"light.color must be #rrggbb or three numbers"),
        ("cloud = 0.03", "clouds = 0.03", r"pattern.weights has the pattern clouds.*did you mean cloud\?"),
        ("cloud = 0.03", "cloud = -0.03", r"pattern.weights has a weight that must be .* not -0.03"),
        ("cloud = 0.03", "none = 0.03", r"pattern.weights has the pattern none; .*lower pattern.probability"),
        ("probability = 0.7", "probability = [0.1, 0.2]", r"pattern.probability must be a number from 0 to 1"),
        ("size = [2, 40]", "", r"the key light.size is missing; copy its line from"),
        ("intensity = [0.5, 1.5]", "", r"the key rim.intensity is missing"),
        ("intensity = [0.5, 1.5]", "intensity = 11", r"rim.intensity must be a number from 0 to 10, not 11"),
        ("size = [20, 60]", "sizes = [20, 60]", r"there is no key fill.sizes; did you mean fill.size\?"),
        ("key_fill = 0.20", "fill_key = 0.20", r"setup.weights has a name that must be one of key, .* not 'fill_key'"),
        ("exposure = [0.5, 1.0]", "exposure = 0", r"environment.exposure must be a number from 0.01 to 10, not 0"),
        ("split = 0.7", "split = 7", r"environment.split must be a number from 0 to 1, not 7"),
        ("probability = 1.0", "", r"the key environment.probability is missing"),
        ('space = "linear"', 'space = "sRGB"', r"space must be linear or srgb, not 'sRGB'"),
        ('space = "linear"', "space = linear", r"not valid TOML: .*line"),
    ],
)
def test_a_wrong_line_is_refused_by_its_key(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = changed(tmp_path, old, new)
    with pytest.raises(SettingsError, match=sentence) as refused:
        read_lighting(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_some_pattern_must_have_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    head = DEFAULT[: DEFAULT.index("[pattern.weights]")]
    path.write_text(f"{head}[pattern.weights]\nwindow = 0\n", "utf-8")
    with pytest.raises(SettingsError, match=r"pattern.weights must have a weight above 0"):
        read_lighting(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be opened"):
        read_lighting(tmp_path / "none.toml")
