"""Promises of `selfie`: Google's answers, people cut out whole, nobody where nobody is."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from export.networks.people.pieces import small_holes, substantial_pieces
from export.networks.people.selfie import PROMPTS, Selfie, write_vocabulary
from export.networks.people.selfie_classes import SelfieClasses
from export.networks.people.shipped import load_shipped
from export.networks.recombine import enlarge, signed_distance
from tests.export.networks.people.litert import astronaut, halved, litert, tensor
from tests.export.networks.people.photos import aspect, open_photo, square

MASKS = Path(__file__).parent / "masks"


@pytest.fixture(scope="module")
def selfie() -> Selfie:
    return Selfie().eval()


def segment(selfie: Selfie, *photos: Image.Image, prompt: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = len(photos)
    pixels = torch.cat([square(photo, 1008) for photo in photos])
    tokens = torch.full((count, 32), prompt)
    with torch.no_grad():
        given = pixels, tokens, torch.ones_like(tokens), torch.tensor([[0.5, 0.5]] * count)
        alpha, score, box, count_ = selfie(*given, torch.cat([aspect(photo) for photo in photos]))
    return alpha, score, box, count_


def test_the_classes_are_those_of_the_original_file() -> None:
    wanted = litert("selfie_logits")
    for network in (load_shipped(SelfieClasses(), "selfie"), load_shipped(SelfieClasses(), "selfie").fuse()):
        with torch.no_grad():
            logits = network(tensor(halved(astronaut()) / 127.5 - 1.0))[0, :, ::8, ::8].numpy()
        assert np.abs(logits - wanted).max() <= 1e-3 * np.ptp(wanted)


@pytest.mark.parametrize("name", ["astronaut.png", "grace_hopper.jpg"])
def test_a_person_is_cut_out_as_by_hand(selfie: Selfie, name: str) -> None:
    # Drawn by hand over the photo at three times its size: 512 pixels, 255 inside.
    with Image.open(MASKS / f"{Path(name).stem}.png") as image:
        drawn = np.asarray(image) > 127
    alpha, score, _, count = segment(selfie, open_photo(name))
    mask = enlarge(signed_distance(alpha, torch.tensor([0.5])), (drawn.shape[0], drawn.shape[1]))[0, 0].numpy() > 0.0
    assert (mask & drawn).sum() / (mask | drawn).sum() >= 0.97
    assert score.item() > 0.8
    assert count.item() == 1


def test_both_of_two_people_are_kept(selfie: Selfie) -> None:
    alpha, _, box, count = segment(selfie, open_photo("both"))
    # Each alone, where it is in the photo of both.
    drawn = [np.asarray(Image.open(MASKS / f"{name}.png")) > 127 for name in ("astronaut", "grace_hopper")]
    together = np.concatenate(drawn, axis=1)
    mask = enlarge(signed_distance(alpha, torch.tensor([0.5])), (512, together.shape[1]))[0, 0].numpy() > 0.0
    assert (mask & together).sum() / (mask | together).sum() >= 0.95
    assert box[0, 0].item() < 0.1
    assert box[0, 2].item() > 0.95
    assert count.item() == 1


def test_nobody_is_found_in_a_cup_of_coffee(selfie: Selfie) -> None:
    _, score, _, count = segment(selfie, open_photo("coffee.png"))
    assert score.item() < 0.1
    assert count.item() == 0


def test_a_prompt_chooses_classes(selfie: Selfie) -> None:
    photo = open_photo("astronaut.png")
    areas = {}
    whole = segment(selfie, photo)[0] > 0.5
    for place, prompt in enumerate(PROMPTS):
        mask = segment(selfie, photo, prompt=place)[0] > 0.5
        areas[prompt] = mask.float().mean().item()
        assert (mask & ~whole).float().mean().item() < 0.003, prompt
    assert areas["clothes"] > 0.25
    assert 0.02 < areas["face"] <= areas["skin"] < 0.05
    assert 0.02 < areas["hair"] < 0.05
    assert segment(selfie, photo, prompt=49407)[0].sub(segment(selfie, photo)[0]).abs().max() == 0.0


def test_decode_is_told_the_prompts(tmp_path: Path) -> None:
    write_vocabulary(tmp_path)
    assert json.loads((tmp_path / "prompts.json").read_text()) == {name: place for place, name in enumerate(PROMPTS)}


def test_large_pieces_are_kept_whatever_their_shape() -> None:
    alpha = torch.zeros(1, 1, 288, 288)
    for row in range(0, 192, 24):  # a winding line
        alpha[..., row : row + 12, :] = 1.0
        edge = slice(276, 288) if row // 24 % 2 else slice(0, 12)
        alpha[..., row : row + 36, edge] = 1.0
    alpha[..., 240:280, 100:140] = 1.0  # a scrap
    kept = substantial_pieces(alpha, 4)[0, 0]
    assert kept[:50][alpha[0, 0, ::4, ::4][:50] > 0].min() == 1.0
    assert kept[60:70, 25:35].max() == 0.0


def test_a_name_plate_is_filled_and_the_gap_within_a_bent_arm_is_not() -> None:
    alpha = torch.zeros(1, 1, 288, 288)
    alpha[..., 40:288, 60:220] = 1.0  # a person who reaches the photo's lower edge
    alpha[..., 100:112, 80:100] = 0.0  # a plate
    alpha[..., 140:200, 180:210] = 0.0  # a gap
    alpha[..., 270:288, 100:112] = 0.0  # between two legs, open below
    holes = small_holes(alpha, 4)[0, 0]
    assert holes[25:28, 20:25].min() == 1.0
    assert holes[35:50].max() == holes[68:].max() == 0.0
