"""What recombine does to colours: linear light or sRGB values, and the photo's own detail. No server."""

import math
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from contract.files import HEADROOM, PLANES, WHITE
from export.files import onnx_file
from export.networks.colour import srgb_to_linear
from export.networks.recombine import Recombine
from export.tensors import example_inputs, read_contract
from tests.rig.lights import Numbers, light, tensors
from tests.rig.places import SAMPLES


@pytest.fixture(scope="module")
def recombine() -> Recombine:
    return Recombine().eval()


def photo_of(name: str, side: int) -> Tensor:
    """ORIGINAL of a sample, uint8 [1,side,side,3]."""
    with Image.open(SAMPLES / name) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB").resize((side, side))).copy())[None]


def relit(
    network: Recombine,
    photo: Tensor,
    row: Numbers,
    shading: float = 1.0,
    albedo: Tensor | None = None,
    planes: tuple[int, ...] = PLANES[8],
) -> tuple[Tensor, Tensor]:
    """OUTPUT_PIXELS and ALBEDO_OUT for a full mask and an even shading: uint8 [H,W,3], or [P,H,W,3] of two planes."""
    full = torch.ones(1, 1, 288, 288)
    even = torch.zeros(1, 1, 6, 518, 518)
    even[:, :, :3] = shading
    reflectance = torch.full((1, 3, 768, 768), 0.5) if albedo is None else albedo
    thresholds = torch.full((1, 2), 0.5)
    _, scene = tensors(row)
    tables = torch.tensor([planes], dtype=torch.int32)
    output, _, albedo_out, _ = network(photo, full, thresholds, reflectance.half(), even.half(), scene, tables)
    return output[0, 0].squeeze(0), albedo_out[0].squeeze(0)


@pytest.mark.parametrize("arithmetic", [0.0, 1.0])
def test_white_full_light_gives_back_the_photo(recombine: Recombine, arithmetic: float) -> None:
    photo = photo_of("astronaut.png", 400)
    output, _ = relit(recombine, photo, light(ambient=1.0, albedo_blend=1.0, arithmetic=arithmetic))
    assert int((output.int() - photo[0].int()).abs().max()) <= 1


def test_srgb_space_multiplies_srgb_values_as_the_replaced_pipeline_did(recombine: Recombine) -> None:
    photo = photo_of("astronaut.png", 200)
    output, _ = relit(recombine, photo, light(albedo_blend=1.0, arithmetic=1.0), shading=0.5)
    assert int((output.int() - (photo[0].float() * 0.5).round().int()).abs().max()) <= 1


def test_linear_space_multiplies_light(recombine: Recombine) -> None:
    photo = torch.full((1, 64, 64, 3), 188, dtype=torch.uint8)  # half of full light
    output, _ = relit(recombine, photo, light(albedo_blend=1.0), shading=0.5)
    assert int((output.int() - 137).abs().max()) <= 1  # a quarter of full light


@pytest.mark.parametrize("arithmetic", [0.0, 1.0], ids=["linear light", "sRGB"])
@pytest.mark.parametrize("shading", [0.5, 3.0])
def test_sixteen_bits_hold_linear_light_beyond_white(recombine: Recombine, arithmetic: float, shading: float) -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    photo = levels.repeat(16).reshape(1, 64, 64, 1).expand(1, 64, 64, 3)
    row = light(albedo_blend=1.0, arithmetic=arithmetic)
    output, albedo = relit(recombine, photo, row, shading, planes=PLANES[16])
    high, low = output.int()
    value = photo[0].double() / 255.0
    working = (value if arithmetic else srgb_to_linear(value)) * shading
    truth = srgb_to_linear(working) if arithmetic else working
    step = float((truth / working.clamp(min=1e-6)).max()) if arithmetic else 1.0  # of sRGB values, one is steeper
    missed = ((high * 256 + low) / WHITE - truth.clamp(max=HEADROOM)).abs()
    assert float(missed.max()) < 3.0 * max(step, 1.0) / WHITE
    assert albedo.shape == (2, 64, 64, 3)


def high_frequencies(picture: Tensor) -> Tensor:
    """What a blur of three pixels takes away; float [H,W]."""
    gray = picture.float().mean(2).numpy()
    return torch.from_numpy(gray - cv2.GaussianBlur(gray, (0, 0), 3.0))


@pytest.mark.parametrize("name", ["astronaut.png", "grace_hopper.jpg"])
def test_the_albedo_keeps_the_photos_detail_where_plain_enlargement_loses_it(recombine: Recombine, name: str) -> None:
    """The network's albedo at a quarter of the photo's resolution: carry its shading up rather than itself."""
    photo = photo_of(name, 512)
    linear = photo.permute(0, 3, 1, 2).float().div(255.0) ** 2.2
    coarse = torch.nn.functional.avg_pool2d(linear, 4) * 0.8
    low = torch.nn.functional.interpolate(coarse, (768, 768), mode="bilinear")
    _, ours = relit(recombine, photo, light(), albedo=low)
    plain = torch.nn.functional.interpolate(low, (512, 512), mode="bilinear").clamp(0.0, 1.0) ** (1 / 2.2) * 255.0
    truth = high_frequencies((linear * 0.8).permute(0, 2, 3, 1)[0] ** (1 / 2.2) * 255.0)
    missed_ours = float((high_frequencies(ours) - truth).square().mean().sqrt())
    missed_plain = float((high_frequencies(plain[0].permute(1, 2, 0)) - truth).square().mean().sqrt())
    assert missed_ours < 0.25 * missed_plain


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["ALBEDO", "SHADING", "SCENE"])
def test_an_impossible_answer_spoils_its_own_photo_alone(repository: Path, name: str, value: float) -> None:
    """A number that became an index out of the tables would fail the whole batch."""
    contract = read_contract("recombine")
    session = onnxruntime.InferenceSession(repository / "recombine" / "1" / onnx_file.MODEL)
    feed = {spec.name: one.numpy() for spec, one in zip(contract.inputs, example_inputs(contract, 2), strict=True)}
    expected = session.run(None, feed)
    feed[name][0] = value
    for answer, whole in zip(session.run(None, feed), expected, strict=True):
        assert np.array_equal(answer[1], whole[1])
