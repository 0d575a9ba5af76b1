"""Promises of a row's request and of a run's settings: one L for all, and all that a picture depends on. No server."""

import json
import pickle
from pathlib import Path

import pytest

from client.errors import RowError, TableError
from client.input.row import Row
from client.light.columns import parse_overrides
from client.light.environment import built_in
from client.light.lighting import LIGHTING_FILE
from client.run.options import command_parser
from client.run.prepare import prepare
from client.run.run import Run, plan_run
from client.triton.parts import Templates


def run_of(*options: str) -> Run:
    return plan_run(command_parser("").parse_args(["--csv", "a.csv", "--output", "out", *options]))


def light_shape(run: Run, name: str, **texts: str) -> list[int]:
    """The shape of LIGHT in a row's request."""
    templates = Templates(run.thresholds, run.plan.request(), run.plan.pictures)
    row = Row(0, (name,), name)
    request = prepare(run, templates, row, parse_overrides(texts), "photos", b"photo").parts.request
    (shape,) = (list(tensor.shape) for tensor in request.inputs if tensor.name == "LIGHT")
    return shape


def test_every_row_has_as_many_sources_so_that_requests_share_batches() -> None:
    plain, lit = run_of("--variants", "2"), run_of("--environments", "built-in")
    assert [light_shape(plain, f"{k}.jpg") for k in range(20)] == [[1, 2, 3, 16]] * 20
    assert light_shape(plain, "a.jpg", environment="overcast") == [1, 2, 3, 16]
    assert [light_shape(lit, f"{k}.jpg") for k in range(20)] == [[1, 1, 1, 16]] * 20
    assert light_shape(lit, "a.jpg", setup="key_fill") == [1, 1, 2, 16], "a row that needs more gets more"


def test_settings_have_all_that_a_picture_depends_on(tmp_path: Path) -> None:
    (tmp_path / "wall.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    run = run_of("--environments", "built-in", "--background", str(tmp_path), "--depth", "16")
    settings = run.settings("a.csv", {})
    assert settings["environments"] == {one.name: one.digest for one in built_in()}
    assert (settings["background"], settings["backdrops"]) == ("picture", ["wall.png"])
    assert settings["files"]["format"] == "png:16"
    assert {"setup", "fill_azimuth", "rim_size", "environment_split"} <= settings["lighting"].keys()
    assert json.loads(json.dumps(settings)) == settings
    assert pickle.loads(pickle.dumps(run)).settings("a.csv", {}) == settings, "for the processes of a run"
    assert run_of().settings("a.csv", {})["instructions"] == settings["instructions"]


def test_what_contradicts_is_refused_before_the_first_row(tmp_path: Path) -> None:
    file = tmp_path / "srgb.toml"
    file.write_text(LIGHTING_FILE.read_text("utf-8").replace('space = "linear"', 'space = "srgb"'), "utf-8")
    with pytest.raises(TableError, match=r"--environments needs linear light"):
        run_of("--lighting", str(file), "--environments", "built-in")
    with pytest.raises(TableError, match="--depth 16 needs --format png or exr"):
        run_of("--format", "webp:80", "--depth", "16")
    with pytest.raises(RowError, match="setup has no effect in an environment"):
        light_shape(run_of(), "a.jpg", setup="key", environment="overcast")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--environments", "nowhere"), "the folder of environments nowhere cannot be read"),
        (("--background", "grey"), "there is no background 'grey': choose gray, photo, relit, or a folder of pictures"),
        (("--instructions", "nowhere.toml"), "the instructions file nowhere.toml cannot be opened"),
        (("--depth", "12"), "'12' must be 8 or 16"),
        (("--format", "gif"), "there is no format 'gif'; choose from png, png:16, jpeg"),
    ],
)
def test_an_option_that_cannot_be_used_says_why(
    options: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run_of(*options)
    assert sentence in " ".join(capsys.readouterr().err.split())
