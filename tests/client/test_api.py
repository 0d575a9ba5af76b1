"""Promises of the Python API: a photo in any form, lights in any form, arrays back, errors as sentences."""

import asyncio
import io
import json
import socket
import sys
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from PIL import Image

from client import Light, Relighter, RelightError, relight
from client.light.light import SCENE_NAMES, SOURCE_NAMES, Source, light_tensors, named_light
from client.run_csv import main
from client.triton.pixels import Pixels
from contract.light import LIGHT, SCENE
from tests.rig.places import SAMPLES

# Zeros everywhere, which no light has.
DARK = Light(None, (Source("key", (0.0,) * len(SOURCE_NAMES)),), (0.0,) * len(SCENE_NAMES))


class Server(Protocol):
    """What the `server` fixture gives: addresses of a running Triton."""

    grpc_url: str


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    """A small photo, uint8 [201,203,3]: rows that do not end at a multiple of four bytes."""
    with Image.open(SAMPLES / "astronaut.png") as image:
        return np.asarray(image.convert("RGB").crop((100, 0, 303, 201)))


def png(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_a_path_bytes_and_pixels_give_the_same_picture(server: Server, tmp_path: Path, portrait: Pixels) -> None:
    (tmp_path / "a.png").write_bytes(png(portrait))
    light = {"light_azimuth": 180, "pattern": "window", "pattern_seed": 1, "ambient": 0.4, "light_color": (1, 0.9, 0.8)}
    first = relight(png(portrait), url=server.grpc_url, lights=[light], files=("output", "albedo", "mask"))
    assert first.output.shape == (1, *portrait.shape)
    assert first.output.dtype == np.uint8
    assert first.albedo.shape == portrait.shape
    assert first.mask.shape == portrait.shape[:2]
    assert first.info["width"] == portrait.shape[1]
    with Relighter(server.grpc_url) as relighter:
        for photo in (portrait, portrait[:, ::-1][:, ::-1], tmp_path / "a.png", str(tmp_path / "a.png")):
            again = relighter(photo, lights=first.lights)
            assert np.array_equal(again.output, first.output)
            assert again.lights == first.lights


def test_pillow_numpy_and_torch_give_the_same_picture(server: Server, tmp_path: Path, portrait: Pixels) -> None:
    turned, exif = Image.fromarray(np.rot90(portrait)), Image.Exif()
    exif[0x0112] = 6  # upright after a quarter turn clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    tensor = torch.tensor(portrait)
    with Relighter(server.grpc_url) as relighter, Image.open(tmp_path / "turned.png") as opened:
        first = relighter(portrait).output
        for form in (opened, portrait.astype(np.float32) / 255, tensor, tensor.permute(2, 0, 1).double() / 255):
            assert np.array_equal(relighter(form).output, first)


def test_lights_come_in_every_form(server: Server, portrait: Pixels) -> None:
    with Relighter(server.grpc_url) as relighter:
        drawn = relighter(portrait, lights=3, seed=5)
        assert drawn.output.shape == (3, *portrait.shape)
        assert len({json.dumps(entry) for entry in drawn.lights}) == 3
        assert np.array_equal(relighter(portrait, seed=5).output[0], drawn.output[0])
        exact = [named_light(entry) for entry in drawn.lights]
        tensors = light_tensors(exact)
        both = [{LIGHT: rows, SCENE: row} for rows, row in zip(tensors[LIGHT][0], tensors[SCENE][0], strict=True)]
        for lights in (drawn.lights, exact, both):
            assert np.array_equal(relighter(portrait, lights=lights).output, drawn.output)
        assert np.array_equal(relighter(portrait, lights=both[0]).output, drawn.output[:1])
        alone = relighter(portrait, lights=tensors[LIGHT][0])  # [K,L,16]: no light but that of the sources
        assert alone.output.mean() < drawn.output.mean()
        fixed = {"setup": "key", "pattern": "none"}
        before, asked = (
            relighter(portrait, lights={**fixed, **more}, seed=5).lights[0] for more in ({}, {"ambient": 0.5})
        )
    differing = {name for name, value in asked.items() if value != before[name]}
    assert differing - {"instruction", "instructions"} == {"ambient", "irradiance", "sources"}
    assert (asked["ambient"], asked["sources"][0]["intensity"]) == (0.5, 0.5)


def test_two_sources_are_brighter_than_each(server: Server, portrait: Pixels) -> None:
    left, right = ({"light_azimuth": azimuth, "light_elevation": 30, "intensity": 0.4} for azimuth in (180, 0))
    asked = [{"sources": sources, "ambient": 0.1} for sources in ([left], [right], [left, right])]
    relit = relight(portrait, url=server.grpc_url, lights=asked, files=("degraded", "mask"))
    one, other, both = (picture[relit.mask == 255].mean() for picture in relit.degraded)
    assert both > max(one, other)
    assert [len(entry["sources"]) for entry in relit.lights] == [1, 1, 2]


def test_maps_come_as_numbers(server: Server, portrait: Pixels) -> None:
    files = ("shading", "normal", "depth", "alpha", "mask")
    relit = relight(portrait, url=server.grpc_url, lights=2, files=files)
    shape = portrait.shape[:2]
    assert (relit.shading.shape, relit.normal.shape) == ((2, *shape, 3), (*shape, 3))
    assert (relit.depth.shape, relit.alpha.shape, relit.mask.shape) == (shape, shape, shape)
    for array in (relit.shading, relit.normal, relit.depth, relit.alpha):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    assert np.linalg.norm(relit.normal, axis=-1) == pytest.approx(1.0, abs=1e-5)
    person = relit.mask == 255
    assert relit.normal[person][:, 2].mean() > 0.3, "most of a person faces the camera"
    assert relit.depth[person].std() == pytest.approx(1.0, abs=0.2)
    assert (relit.alpha[person].min(), relit.alpha.max() <= 1) == (pytest.approx(0.5, abs=0.51), True)
    assert 0.2 < relit.shading[:, person].mean() < 2


def test_an_environment_lights_a_photo(server: Server, portrait: Pixels) -> None:
    with Relighter(server.grpc_url, environments="built-in") as relighter:
        drawn = relighter(portrait, lights=2, seed=1)
        assert all(entry["environment"] for entry in drawn.lights)
        named = relighter(portrait, lights={"environment": "low_sun", "environment_azimuth": 20}, seed=1)
        assert named.lights[0]["environment"]["azimuth"] == 20.0
        again = relighter(portrait, lights=drawn.lights)
        assert np.array_equal(again.output, drawn.output)


def test_a_background_in_any_form(server: Server, portrait: Pixels, tmp_path: Path) -> None:
    wall = np.full((64, 64, 3), (200, 40, 40), np.uint8)
    (tmp_path / "walls").mkdir()
    (tmp_path / "walls" / "red.png").write_bytes(png(wall))
    with Relighter(server.grpc_url) as relighter:
        gray = relighter(portrait, files=("output", "alpha", "mask"), seed=2)
        behind = gray.alpha < 0.02
        assert (gray.output[0][behind] == 128).all()
        pictures = [relighter(portrait, background=form, seed=2) for form in (wall, png(wall), tmp_path / "walls")]
        for relit in pictures:
            assert relit.lights[0]["background"] == "picture"
            assert np.abs(relit.output[0][behind].astype(int) - wall[0, 0]).max() <= 3
        assert pictures[2].lights[0]["backdrop"] == "red.png"
        for kind in ("photo", "relit"):
            relit = relighter(portrait, background=kind, seed=2)
            assert relit.lights[0]["background"] == kind
            assert not np.array_equal(relit.output, gray.output)
        with pytest.raises(RelightError, match=r"the background of the lights is the picture red\.png; give it as"):
            relighter(portrait, lights=pictures[2].lights)
        again = relighter(portrait, lights=pictures[2].lights, background=tmp_path / "walls" / "red.png")
        assert np.array_equal(again.output, pictures[2].output)


def test_a_row_of_a_csv_gets_the_same_picture(
    server: Server, tmp_path: Path, portrait: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(png(portrait))
    Path("one.csv").write_text("image_path\na.png\n")
    assert main(["--csv", "one.csv", "--output", "out", "--url", server.grpc_url, "--seed", "4"]) == 0
    relit = relight("a.png", url=server.grpc_url, seed=4)
    with Image.open("out/one/00000_output.png") as written:
        assert np.array_equal(relit.output[0], np.asarray(written))
    assert relit.lights == json.loads(Path("out/one/00000_metadata.json").read_text())["lights"]


def test_it_works_where_an_event_loop_runs(server: Server, portrait: Pixels) -> None:
    async def cell() -> tuple[int, ...]:
        return relight(portrait, url=server.grpc_url, files="mask").mask.shape

    assert asyncio.run(cell()) == portrait.shape[:2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"photo": b"no photo"}, "Not an image that can be read"),
        ({"photo": "nowhere.jpg"}, r"the photo nowhere\.jpg cannot be read \(No such file"),
        ({"photo": np.full((4, 4, 3), 255.0)}, "a photo of floats must have values from 0 to 1, not 255 to 255"),
        ({"photo": np.full((4, 4, 3), np.nan)}, "a photo of floats must have values from 0 to 1, not nan to nan"),
        ({"photo": np.zeros((4, 4), np.uint8)}, r"must be uint8 or floats, .* or \[3,H,W\], not uint8 \[4, 4\]"),
        ({"photo": torch.zeros(3, 4, 4, dtype=torch.int64)}, r"must be uint8 or floats, .* not int64 \[3, 4, 4\]"),
        ({"photo": 7}, "a photo must be a path, bytes, a PIL image, an array or a tensor, not int"),
        ({"ca": "nowhere.pem"}, r"--ca nowhere\.pem cannot be read \(No such file"),
        ({"headers": {"a b": "secret"}}, "a header must be NAME:VALUE"),
        ({"lights": [{"azimut": 3}]}, r"a light has no azimut; did you mean light_azimuth\?"),
        ({"lights": [{"seed": 3}]}, r"a light has no seed; did you mean pattern_seed\?"),
        ({"lights": [{"ambient": 2}]}, "ambient must be a number from 0 to 1, not 2"),
        ({"lights": np.zeros((2, 15))}, "a light is a row of LIGHT, 16 numbers"),
        ({"lights": 0}, "at least one light"),
        ({"lights": 10**9}, "at most 10,000"),
        (
            {"lights": [DARK]},
            r"LIGHT\[0,0,8\] \(shininess\) must be a number from 1",
        ),
        ({"lights": {"pattern": 99}}, "the server has no pattern 99; it has 1 tree_foliage"),
        ({"mask_threshold": float("nan")}, r"THRESHOLDS \(score, mask\) must be numbers from 0 to 1, not \[0.5, nan\]"),
        ({"mask_threshold": "high"}, r"THRESHOLDS \(score, mask\) must be numbers from 0 to 1, not \[0.5, 'high'\]"),
        ({"files": ("lamp",)}, "no files called lamp; choose from output"),
        ({"files": ("environment",)}, "the file environment is written by run_csv alone; leave it out of files"),
        ({"background": "nowhere.jpg"}, r"the photo nowhere\.jpg cannot be read \(No such file"),
        ({"environments": "nowhere"}, "the folder of environments nowhere cannot be read"),
        ({"lighting": "nowhere.toml"}, r"nowhere\.toml cannot be opened"),
        ({"score_threshold": 1.01}, r"THRESHOLDS \(score, mask\) must be numbers from 0 to 1"),
        ({"score_threshold": 1.0}, "Nobody found, best score"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(server: Server, arguments: dict[str, Any], sentence: str) -> None:
    photo = {"photo": SAMPLES / "astronaut.png"}
    with pytest.raises(RelightError, match=sentence) as refused:
        relight(**{**photo, **arguments}, url=server.grpc_url)
    assert "ensemble" not in str(refused.value)


def test_numbers_that_no_light_can_have_are_not_sent() -> None:
    """The same table as the server's, without a server."""
    cases: tuple[dict[str, Any], ...] = ({"score_threshold": 2}, {"lights": [DARK]})
    for arguments in cases:
        with pytest.raises(RelightError, match="must be"):
            relight(b"photo", url="localhost:1", **arguments)


def test_a_picture_that_was_not_asked_for_says_so(server: Server, portrait: Pixels) -> None:
    relit = relight(portrait, url=server.grpc_url, files="mask")
    with pytest.raises(RelightError, match="albedo was not asked for; add it to files"):
        _ = relit.albedo


def test_no_server_is_said_with_its_address() -> None:
    with socket.socket() as taken:  # bound, never listening: nobody can answer there
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RelightError, match=rf"no server answers at {url} .*python -m server"):
            relight(b"photo", url=url, timeout=20)


def test_a_missing_pillow_is_said_with_the_remedy(
    server: Server, portrait: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RelightError, match=r"Pillow is missing.*pip install pillow"):
        relight(portrait, url=server.grpc_url)
