"""What the ensemble promises of photos: `input` is upright and aligned with every file, scaled, cut, or refused."""

import io
import json
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from PIL import Image
from tritonclient.utils import InferenceServerException

from server.embedded import RunningServer
from tests.rig.photos import portrait
from tests.rig.png import read_by_opencv
from tests.rig.requests import Answer, ask, lights, request

NAMES = b"output,albedo,mask,normal,foreground,background,input;png"
FILES = [name.upper() for name in NAMES.decode().partition(";")[0].split(",")]
GRAY = 128


def saved(photo: Image.Image, orientation: int = 1) -> bytes:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    photo.save(file, "PNG", exif=exif)
    return file.getvalue()


def relit(server: RunningServer, photo: bytes, rules: bytes = b"") -> tuple[Answer, dict[str, Any]]:
    """The pixels of each file, and INFO."""
    answer = ask(server, request(tritonclient.grpc, photo, lights(1), NAMES + rules))
    return {name: read_by_opencv(answer[name][0, 0]) for name in FILES}, json.loads(answer["INFO"][0, 0])


def test_the_input_of_a_turned_photo_is_its_upright_pixels_aligned_with_every_file(server: RunningServer) -> None:
    photo = portrait(120, 150)
    files, info = relit(server, saved(photo.rotate(90, expand=True), orientation=6))
    pixels, mask = np.asarray(photo), files["MASK"]
    assert np.array_equal(files["INPUT"], pixels)
    assert {one.shape[:2] for one in files.values()} == {(150, 120)}
    assert (info["original"], info["crop"]) == ([120, 150], [0, 0, 120, 150])
    assert 0.1 < (mask == 255).mean() < 0.9
    for name, kept in (("FOREGROUND", 255), ("BACKGROUND", 0)):
        assert np.array_equal(files[name][mask == kept], pixels[mask == kept])
    assert (files["OUTPUT"][mask == 0] == GRAY).all()


def test_all_files_are_scaled_to_the_size(server: RunningServer) -> None:
    files, info = relit(server, saved(portrait(240, 300)), b";size=80")
    assert {one.shape[:2] for one in files.values()} == {(100, 80)}
    assert (info["width"], info["height"], info["original"], info["crop"]) == (80, 100, [240, 300], [0, 0, 240, 300])
    small = portrait(240, 300).resize((80, 100), Image.Resampling.BOX)
    assert np.abs(files["INPUT"].astype(float) - np.asarray(small)).max() <= 1


@pytest.mark.parametrize("crop", ["center", "person"])
def test_a_square_is_cut_out_of_the_middle_or_around_a_person_beside_it(server: RunningServer, crop: str) -> None:
    """The person stands at the left of a wide photo."""
    photo = Image.new("RGB", (600, 200), (90, 120, 150))
    photo.paste(portrait(160, 200, "grace_hopper.jpg"), (60, 0))
    files, info = relit(server, saved(photo), f";size=100,crop={crop}".encode())
    assert {one.shape[:2] for one in files.values()} == {(100, 100)}
    left, top, right, bottom = info["crop"]
    assert (info["original"], top, bottom, right - left) == ([600, 200], 0, 200, 200)
    shown = np.asarray(photo.crop((left, top, right, bottom)).resize((100, 100), Image.Resampling.BOX))
    assert np.abs(files["INPUT"].astype(float) - shown).max() <= 1
    if crop == "center":
        assert left == 200
        return
    assert abs(info["box"][0] + info["box"][2] - 1) < 0.02
    columns = np.flatnonzero((files["MASK"] == 255).any(0))
    assert abs((columns[0] + columns[-1] + 1) / 2 - 50) < 5, "the person is in the middle"
    assert abs(left + 100 - 140) < 20


def test_a_photo_that_breaks_a_rule_is_refused_as_its_senders_fault(server: RunningServer) -> None:
    rules = b";size=64,min_side=60,max_aspect=3,max_megapixels=0.05"
    for size, sentence in (
        ((50, 90), "The photo is 50 x 90: its short side is below min_side=60."),
        ((400, 70), "The photo is 400 x 70: its long side is 5.714 times its short one, above max_aspect=3."),
        ((250, 300), "The photo is 250 x 300: 0.075 megapixels, above max_megapixels=0.05."),
    ):
        with pytest.raises(InferenceServerException) as refused:
            relit(server, saved(Image.new("RGB", size)), rules)
        assert sentence in str(refused.value.message())
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
