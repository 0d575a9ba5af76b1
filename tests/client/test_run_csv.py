"""Promises of the command: a CSV through the real server, good rows and bad ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from client.gallery.__main__ import main as gallery
from client.gallery.thumbnails import FOLDER
from client.light.light import SOURCE_NAMES
from tests.rig.finished_runs import parsed
from tests.rig.places import SAMPLES
from tests.rig.runs import Server, lines, metadata, relight, small_table, tree

PHOTOS = ("astronaut.png", "grace_hopper.jpg", "two_people.jpg")


@pytest.fixture(scope="module")
def samples_run(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """samples.csv done once with the defaults: the exit code and the output folder."""
    output = tmp_path_factory.mktemp("samples_run")
    return relight(server, SAMPLES / "samples.csv", output), output


def test_every_sample_gets_its_files(samples_run: tuple[int, Path]) -> None:
    code, output = samples_run
    assert code == 0
    expected = {
        f"samples/{index:05d}_{kind}"
        for index in range(len(PHOTOS))
        for kind in ("output.png", "albedo.png", "mask.png", "foreground.png", "metadata.json")
    }
    assert set(tree(output)) == expected | {"samples.csv", "samples/README.md", "samples/metadata.jsonl"}
    for index, name in enumerate(PHOTOS):
        size = Image.open(SAMPLES / name).size
        for kind, mode in (("output", "RGB"), ("albedo", "RGB"), ("mask", "L")):
            picture = Image.open(output / "samples" / f"{index:05d}_{kind}.png")
            picture.load()
            assert (picture.size, picture.mode) == (size, mode)


def test_the_new_csv_is_the_old_one_and_where_the_pictures_are(
    samples_run: tuple[int, Path],
) -> None:
    _, output = samples_run
    written = lines(output / "samples.csv")
    assert list(written[0]) == ["image_path", "name", "output_image_path", "error"]
    for old, new in zip(lines(SAMPLES / "samples.csv"), written, strict=True):
        assert new == old | {"output_image_path": new["output_image_path"], "error": ""}
        assert (output / new["output_image_path"]).is_file()


def test_a_gallery_shows_the_run(samples_run: tuple[int, Path], tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(samples_run[1], output)
    assert gallery([str(output / "samples")]) == 0
    photos = parsed(output / "samples" / FOLDER / "part_00000.js")
    assert [photo["row"]["name"] for photo in photos] == ["Eileen Collins", "Grace Hopper", "two people"]
    thumbnails = sorted((output / "samples" / FOLDER / "thumbnails").iterdir())
    assert [thumbnail.name for thumbnail in thumbnails] == [f"{index:05d}_output.png.webp" for index in range(3)]
    with Image.open(thumbnails[0]) as image:
        assert image.size == (256, 256)


def test_metadata_names_all_that_shaped_the_picture(samples_run: tuple[int, Path]) -> None:
    _, output = samples_run
    found = metadata(output / "samples", 1)
    assert found["image_path"] == "grace_hopper.jpg"
    assert (found["prompt"], found["seed"], found["schema"]) == ("person", 0, "relight-metadata/2")
    assert (found["score_threshold"], found["mask_threshold"]) == (0.5, 0.5)
    assert (found["width"], found["height"]) == Image.open(SAMPLES / "grace_hopper.jpg").size
    assert {"score", "box", "count", "residual", "models"} <= set(found)
    assert found["model_versions"]["relight"] == "1"
    assert found["files"]["mask"] == ["00001_mask.png"]
    (light,) = found["lights"]
    assert set(light["sources"][0]) == {*SOURCE_NAMES, "kind", "elevation", "azimuth", "pattern"}
    assert (light["space"], light["environment"], light["background"]) == ("linear", None, "gray")
    assert light["instruction"] == light["instructions"][0]
    assert found["values"]["output"] == "sRGB, 8 bit"
    assert str(output) not in json.dumps(found)


def test_the_same_seed_gives_the_same_bytes_however_rows_are_batched(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, *(f"{name}.png" for name in "abcdef"))
    trees: list[dict[str, bytes]] = []
    for window in ("1", "1", "2", "6"):
        output = tmp_path / f"{len(trees)}"
        assert relight(server, table, output, "--seed", "7", "--window", window) == 0
        trees.append(tree(output))
    assert trees[0] == trees[1] == trees[2] == trees[3]


def test_another_seed_is_another_light(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png")
    for seed in ("1", "2"):
        assert relight(server, table, tmp_path / seed, "--seed", seed) == 0
    one, two = (tmp_path / seed / "small" for seed in ("1", "2"))
    assert (one / "00000_output.png").read_bytes() != (two / "00000_output.png").read_bytes()
    assert (one / "00000_mask.png").read_bytes() == (two / "00000_mask.png").read_bytes()


def test_a_photo_keeps_its_light_where_its_row_moves(server: Server, tmp_path: Path) -> None:
    names = ("a.png", "b.png")
    lights = []
    for order in (names, names[::-1]):
        output = tmp_path / f"{order[0]} first"
        assert relight(server, small_table(tmp_path, *order), output, "--files", "mask") == 0
        found = [metadata(output / "small", index) for index in range(2)]
        lights.append({one["image_path"]: one["lights"] for one in found})
    assert lights[0] == lights[1]


def test_bad_rows_fail_alone_and_say_why(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert relight(server, SAMPLES / "broken.csv", tmp_path) == 1
    reasons = {line["image_path"]: line["error"] for line in lines(tmp_path / "broken.csv")}
    assert list(reasons) == [line["image_path"] for line in lines(SAMPLES / "broken.csv")]
    assert {name for name, reason in reasons.items() if reason} == {"missing.jpg", "damaged.jpg"}
    assert str(SAMPLES / "missing.jpg") in reasons["missing.jpg"]
    assert "StatusCode" not in reasons["damaged.jpg"]
    assert "ensemble" not in reasons["damaged.jpg"]
    for line in lines(tmp_path / "broken.csv"):
        assert bool(line["output_image_path"]) != bool(line["error"])
    told = capsys.readouterr().err
    assert "row 2 (missing.jpg): there is no file" in told
    assert "3 rows done, 2 failed" in told


def test_a_photo_without_a_person_gets_no_pair_and_says_why(server: Server, tmp_path: Path) -> None:
    assert relight(server, SAMPLES / "nobody.csv", tmp_path) == 1
    (line,) = lines(tmp_path / "nobody.csv")
    assert line["error"] == "Nobody found, best score 0.00: lower --score-threshold or change --prompt."
    assert line["output_image_path"] == ""
    assert not [name for name in tree(tmp_path) if name.endswith((".png", ".json"))]


def test_two_variants_are_two_pictures_and_two_lines(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png")
    options = ("--variants", "2", "--files", "output,degraded,foreground,background")
    assert relight(server, table, tmp_path / "two", *options) == 0
    folder = tmp_path / "two" / "small"
    paths = [line["output_image_path"] for line in lines(tmp_path / "two" / "small.csv")]
    assert paths == ["small/00000_output_0.png", "small/00000_output_1.png"]
    first, second = (np.asarray(Image.open(tmp_path / "two" / path)) for path in paths)
    assert not np.array_equal(first, second)
    assert (folder / "00000_degraded_1.png").is_file()
    assert (folder / "00000_foreground.png").is_file()
    assert (folder / "00000_background.png").is_file()

    assert relight(server, table, tmp_path / "one") == 0
    alone = metadata(tmp_path / "one" / "small", 0)["lights"]
    assert metadata(folder, 0)["lights"][:1] == alone


def test_variants_are_one_request(server: Server, tmp_path: Path) -> None:
    def requests() -> int:  # of decode: the ensemble counts a request after it has been answered, too late for us
        with triton.InferenceServerClient(server.grpc_url) as client:
            return int(client.get_inference_statistics("decode").model_stats[0].inference_stats.success.count)

    before = requests()
    table = small_table(tmp_path, "a.png")
    assert relight(server, table, tmp_path / "out", "--variants", "4", "--files", "output") == 0
    assert requests() - before == 1
    assert len(list((tmp_path / "out" / "small").glob("*_output_*.png"))) == 4


def test_jpeg_is_jpeg_and_the_mask_stays_png(server: Server, tmp_path: Path) -> None:
    output, folder = tmp_path / "out", tmp_path / "out" / "small"
    options = ("--files", "output,mask", "--format", "jpeg:90")
    assert relight(server, small_table(tmp_path, "a.png"), output, *options) == 0
    assert Image.open(folder / "00000_output.jpg").format == "JPEG"
    assert Image.open(folder / "00000_mask.png").format == "PNG"
    assert not list(folder.glob("*albedo*"))


def test_a_depth_of_16_bits_is_a_png_and_nothing_else(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = small_table(tmp_path, "a.png")
    files = ("--files", "output,mask,normal,environment", "--depth", "16")
    assert relight(server, table, tmp_path / "out", *files, "--format", "jpeg") == 2
    assert "--depth 16 needs --format png or exr: jpeg has 8 bits for each value" in capsys.readouterr().err
    assert relight(server, table, tmp_path / "out", *files) == 0
    folder = tmp_path / "out" / "small"
    depths = {name: (folder / f"00000_{name}.png").read_bytes()[24] for name in ("output", "normal", "mask")}
    assert depths == {"output": 16, "normal": 16, "mask": 8}
    assert (folder / "00000_environment.exr").read_bytes()[:4] == b"\x76\x2f\x31\x01"
    assert metadata(folder, 0)["values"]["output"] == "linear Rec. 709, 16 bit, 65535 is white"
    assert relight(server, table, tmp_path / "exr", "--files", "output,shading", "--format", "exr") == 0
    assert {path.suffix for path in (tmp_path / "exr" / "small").glob("00000_*")} == {".exr", ".json"}


def test_the_limit_ends_the_run(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png", "b.png")
    assert relight(server, table, tmp_path / "out", "--limit", "1", "--files", "mask") == 0
    assert len(lines(tmp_path / "out" / "small.csv")) == 1
