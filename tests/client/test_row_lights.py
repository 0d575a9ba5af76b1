"""Promises of the command about light: what columns, files and folders ask for is in the picture and its metadata."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from client.light.lighting import LIGHTING_FILE
from client.run_csv import main
from contract.light import BACKGROUNDS, LIGHT, SCENE, row_of
from tests.rig.runs import Server, lines, metadata, relight, small_table


def scene(entry: dict[str, Any]) -> list[float]:
    """The row of SCENE of an entry of the metadata: its irradiance, then the numbers that it has by name."""
    row = row_of(SCENE, entry | {"background": BACKGROUNDS.index(entry["background"])})
    return [coefficient for harmonic in entry["irradiance"] for coefficient in harmonic] + row[27:]


def ask(server: Server, image: bytes, found: dict[str, Any], lights: list[dict[str, Any]]) -> list[bytes]:
    """The output pictures of a request made from metadata alone, by Triton's own client."""
    most = max(1, *(len(light["sources"]) for light in lights))
    absent = {"intensity": 0.0}
    sources = [[*light["sources"], *[absent] * (most - len(light["sources"]))] for light in lights]
    rows = {
        LIGHT: np.array([[[row_of(LIGHT, one) for one in several] for several in sources]], np.float32),
        SCENE: np.array([[scene(light) for light in lights]], np.float32),
    }
    thresholds = np.array([[found["score_threshold"], found["mask_threshold"]]], np.float32)
    texts = {"IMAGE": image, "PROMPT": found["prompt"].encode(), "FILES": found["files_requested"].encode()}
    arrays = {name: np.array([[text]], np.object_) for name, text in {**texts, "BACKDROP": b""}.items()}
    inputs = []
    for name, array in (arrays | rows | {"THRESHOLDS": thresholds}).items():
        kind = "BYTES" if name in arrays else "FP32"
        inputs.append(triton.InferInput(name, list(array.shape), kind).set_data_from_numpy(array))
    with triton.InferenceServerClient(server.grpc_url) as client:
        output: list[bytes] = client.infer("relight", inputs).as_numpy("OUTPUT").ravel().tolist()
    return output


@pytest.mark.parametrize("space", ["linear", "srgb"])
def test_every_entry_of_the_metadata_is_enough_to_make_its_picture_again(
    server: Server, tmp_path: Path, space: str
) -> None:
    text = LIGHTING_FILE.read_text("utf-8").replace('space = "linear"', f'space = "{space}"')
    (tmp_path / "own.toml").write_text(text.replace("specular = 0.0", "specular = [0.1, 0.4]"))
    table = tmp_path / "varied.csv"
    small_table(tmp_path, "a.png")
    table.write_text("image_path,pattern,light_color\na.png,,\na.png,window,#ffd6ad\n")
    options = ("--variants", "2", "--lighting", str(tmp_path / "own.toml"), "--files", "output", "--seed", "3")
    assert relight(server, table, tmp_path / "out", *options) == 0
    for index in range(2):
        found = metadata(tmp_path / "out" / "varied", index)
        written = [(tmp_path / "out" / "varied" / name).read_bytes() for name in found["files"]["output"]]
        image = (tmp_path / found["image_path"]).read_bytes()
        assert ask(server, image, found, found["lights"]) == written
        assert [ask(server, image, found, [entry])[0] for entry in found["lights"]] == written, "alone as together"
        assert {entry["space"] for entry in found["lights"]} == {space}


def test_columns_of_a_row_decide_about_its_picture(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_table(tmp_path, "a.png")
    table = tmp_path / "asked.csv"
    rows = (
        "image_path,seed,ambient,light_azimuth,pattern,light_color,gray,prompt,Relief",
        "a.png,,,,,,,,5",
        "a.png,9,0.5,-90,window,0.5 1 1,10,hair,",
        "a.png,,1.5,,,,,,",
        "a.png,,,,none,,,,",
    )
    table.write_text("".join(f"{row}\n" for row in rows))
    assert relight(server, table, tmp_path / "out", "--files", "mask,output") == 1
    plain_row, asked, bare = (metadata(tmp_path / "out" / "asked", index) for index in (0, 1, 3))
    assert (plain_row["seed"], plain_row["prompt"], plain_row["lights"][0]["relief"]) == (0, "person", 1.0)
    assert (asked["seed"], asked["prompt"]) == (9, "hair")
    light = asked["lights"][0]
    assert {
        **{"azimuth": 270.0, "pattern": "window", "pattern_id": 3.0, "color_red": 0.5, "intensity": 0.5}
    }.items() <= light["sources"][0].items()
    assert (light["ambient"], light["gray"], light["irradiance"][0]) == (0.5, 10.0, [0.25, 0.5, 0.5])
    assert light["sources"][0]["direction_y"] < 0
    drawn, undecided = (one["lights"][0] for one in (plain_row, bare))
    drawn["sources"][0] |= {"pattern": "none", "pattern_id": 0.0}
    words = ("instruction", "instructions")
    assert {name: undecided[name] for name in drawn if name not in words} == {
        name: drawn[name] for name in drawn if name not in words
    }, "what a row leaves open is drawn as ever"
    errors = [line["error"] for line in lines(tmp_path / "out" / "asked.csv")]
    assert errors == ["", "", "column ambient must be a number from 0 to 1, not 1.5", ""]
    told = capsys.readouterr().err
    assert told.count("warning: ") == 1
    assert told.startswith("warning: the column Relief has no effect; did you mean relief?\n")


def test_a_pattern_that_the_server_has_not_fails_its_row(server: Server, tmp_path: Path) -> None:
    small_table(tmp_path, "a.png")
    table = tmp_path / "far.csv"
    table.write_text("image_path,pattern\na.png,9999\na.png,\n")
    code = relight(server, table, tmp_path / "out", "--files", "mask")
    known = metadata(tmp_path / "out" / "far", 1)["models"]["shadow"].get("patterns")
    error = lines(tmp_path / "out" / "far.csv")[0]["error"]
    assert (code, "no pattern 9999; it has 1 tree_foliage" in error) == ((1, True) if known else (0, False))


def test_a_lighting_file_is_refused_with_its_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text("[light]\nambiant = 1\n")
    with pytest.raises(SystemExit) as exit_:
        main(["--csv", "a.csv", "--output", "out", "--lighting", str(tmp_path / "own.toml")])
    assert exit_.value.code == 2
    assert "own.toml: there is no key light.ambiant; did you mean light.ambient?" in capsys.readouterr().err


def test_the_background_is_the_gray_asked_for(server: Server, tmp_path: Path) -> None:
    output, folder = tmp_path / "out", tmp_path / "out" / "small"
    options = ("--files", "output,mask", "--gray", "10")
    assert relight(server, small_table(tmp_path, "a.png"), output, *options) == 0
    picture = np.asarray(Image.open(folder / "00000_output.png"))
    mask = np.asarray(Image.open(folder / "00000_mask.png"))
    assert (mask == 0).any()
    assert (picture[mask == 0] == 10).all()


def test_a_folder_of_environments_lights_the_rows_that_name_no_other(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n"
    (maps / "white_room.hdr").write_bytes(header + bytes((128, 128, 128, 129)) * 16 * 32)  # radiance 1 all around
    small_table(tmp_path, "a.png")
    table = tmp_path / "lit.csv"
    table.write_text("image_path,environment,setup\na.png,,\na.png,low_sun,\na.png,none,key\na.png,moon,\n")
    options = ("--environments", str(maps), "--files", "output")
    assert relight(server, table, tmp_path / "out", *options) == 1
    white, sun, plain = (metadata(tmp_path / "out" / "lit", index)["lights"][0] for index in range(3))
    assert (white["environment"]["name"], white["sources"]) == ("white_room", [])
    exposure = white["environment"]["exposure"]
    assert white["irradiance"][0] == pytest.approx([exposure] * 3, rel=0.01), "the same light from all around"
    assert sun["environment"]["name"] == "low_sun"
    assert (plain["environment"], [source["kind"] for source in plain["sources"]]) == (None, ["key"])
    assert "environment must be one of none, " in lines(tmp_path / "out" / "lit.csv")[3]["error"]

    (maps / "white_room.hdr").write_bytes(header + bytes((64, 64, 64, 129)) * 16 * 32)
    assert relight(server, table, tmp_path / "out", *options) == 2, "another map by the same name"
    assert "environments.white_room: " in capsys.readouterr().err


def test_each_photo_has_a_background_of_the_folder(server: Server, tmp_path: Path) -> None:
    walls = tmp_path / "walls"
    walls.mkdir()
    for name, color in (("blue.png", (20, 40, 200)), ("red.png", (200, 40, 20))):
        Image.new("RGB", (40, 30), color).save(walls / name)
    small_table(tmp_path, "a.png")
    table = tmp_path / "before.csv"
    seeds = "".join(f"a.png,{seed},\n" for seed in range(4))
    table.write_text(f"image_path,seed,background\n{seeds}a.png,0,gray\na.png,0,walls/red.png\na.png,0,none.png\n")
    options = ("--background", str(walls), "--files", "output,alpha", "--format", "png")
    assert relight(server, table, tmp_path / "out", *options) == 1
    folder = tmp_path / "out" / "before"
    found = [metadata(folder, index)["lights"][0] for index in range(6)]
    assert {light["backdrop"] for light in found[:4]} == {"blue.png", "red.png"}
    assert [(light["background"], light["backdrop"]) for light in found[4:]] == [
        *(("gray", None), ("picture", "walls/red.png"))
    ]
    colors = {"blue.png": (20, 40, 200), "red.png": (200, 40, 20), "walls/red.png": (200, 40, 20), None: (128,) * 3}
    for index, light in enumerate(found):
        behind = np.asarray(Image.open(folder / f"{index:05d}_alpha.png")) <= 2
        output = np.asarray(Image.open(folder / f"{index:05d}_output.png")).astype(int)
        assert behind.any()
        assert np.abs(output[behind] - colors[light["backdrop"]]).max() <= 3
    error = lines(tmp_path / "out" / "before.csv")[6]["error"]
    assert "none.png; correct background or put the photo there" in error
    assert relight(server, table, tmp_path / "out", *options[2:]) == 2, "another background"
