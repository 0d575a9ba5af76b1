"""Promises of --size, --crop and the limits of photos: what is written of a row, and why a row has failed."""

import json
from pathlib import Path

from PIL import Image

from tests.rig.photos import portrait, write_csv
from tests.rig.runs import Server, lines, relight


def test_photos_are_scaled_and_cut_and_those_outside_the_limits_are_failed_rows(server: Server, tmp_path: Path) -> None:
    photos = {"wide.png": (240, 160), "small.png": (99, 200), "sliver.jpg": (500, 120), "large.webp": (400, 300)}
    for name, size in photos.items():
        portrait(*size).save(tmp_path / name)
    table = write_csv(tmp_path / "photos.csv", [tmp_path / name for name in photos])
    options = ("--size", "64", "--crop", "person", "--min-side", "100", "--max-aspect", "3", "--max-megapixels", "0.1")
    files = ("--files", "output,mask,input", "--format", "webp:lossless", "--quiet")
    assert relight(server, table, tmp_path / "out", *options, *files) == 1
    assert [row["error"] for row in lines(tmp_path / "out" / "photos.csv")] == [
        "",
        "The photo is 99 x 200: its short side is below min_side=100.",
        "The photo is 500 x 120: its long side is 4.167 times its short one, above max_aspect=3.",
        "The photo is 400 x 300: 0.12 megapixels, above max_megapixels=0.1.",
    ]
    folder = tmp_path / "out" / "photos"
    found = json.loads((folder / "00000_metadata.json").read_text())
    assert found["files_requested"].endswith(";size=64,crop=person,min_side=100,max_aspect=3,max_megapixels=0.1")
    assert (found["original"], found["width"], found["height"]) == ([240, 160], 64, 64)
    left, top, right, bottom = found["crop"]
    assert (top, bottom, right - left) == (0, 160, 160)
    for kind, extension in (("output", "webp"), ("input", "webp"), ("mask", "png")):
        assert Image.open(folder / f"00000_{kind}.{extension}").size == (64, 64)
