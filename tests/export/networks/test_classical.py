"""The exported networks compute what their PyTorch modules compute, and the modules compute what they say."""

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from contract.names import NETWORKS
from export.check.gate import measure, refuse
from export.check.reference import ask
from export.files import onnx_file
from export.networks.colour import (
    SCALE,
    STEPS,
    decode_levels,
    decoding_table,
    encoding_offset,
    encoding_table,
    linear_to_srgb,
    look_up,
)
from export.networks.filters import logarithm
from export.networks.pattern_bank import PatternBank
from export.networks.presets import DEFAULT, PRESETS, Choice, Options
from export.networks.presets import build as build_choice
from export.networks.retinex import Retinex
from export.tensors import example_inputs, read_contract
from tests.rig.lights import Numbers, even, tensors
from tests.rig.places import SAMPLES

FACES = {"astronaut.png": (0.44, 0.27), "grace_hopper.jpg": (0.50, 0.35)}  # centres, x and y in 0–1


@cache
def options() -> Options:
    return Options(PatternBank())


@cache
def build(network: str, preset: str = "classical") -> nn.Module:
    choice = PRESETS[preset].get(network, Choice(network))
    return build_choice(network, choice, options()).network.eval()


@cache
def session(file: Path) -> Any:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def run(repository: Path, network: str, inputs: tuple[Tensor, ...]) -> list[npt.NDArray[Any]]:
    """The exported network's answers."""
    names = [spec.name for spec in read_contract(network).inputs]
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    answers: list[npt.NDArray[Any]] = session(repository / network / "1" / "model.onnx").run(None, feed)
    return answers


def sample(name: str, side: int) -> npt.NDArray[np.uint8]:
    with Image.open(SAMPLES / name) as image:
        return np.asarray(image.convert("RGB").resize((side, side)))


def planes(pixels: npt.NDArray[Any]) -> Tensor:
    """[H,W,3] → [1,3,H,W]."""
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_file_agrees_with_the_network(repository: Path, network: str) -> None:
    contract = read_contract(network)
    batches = (1, 3)  # the export has compared others
    reference = ask(build(network, DEFAULT), contract, network, max(batches))
    runtime = onnx_file.load(repository / network / "1", contract)
    found = measure(reference, runtime, contract, batches, "fp32", random_weights=False)
    outputs = {spec.name for spec in contract.outputs}
    assert {(one.output, one.batch) for one in found} == {(name, batch) for name in outputs for batch in batches}
    refuse(contract, found)


@pytest.mark.parametrize("network", NETWORKS)
def test_other_photos_in_a_batch_change_no_bit(repository: Path, network: str) -> None:
    inputs = example_inputs(read_contract(network), 8, seed=5)
    alone = [run(repository, network, tuple(value[row : row + 1] for value in inputs)) for row in range(8)]
    for batch in (2, 4, 7, 8):  # work is divided among threads differently for each
        together = run(repository, network, tuple(value[:batch] for value in inputs))
        for row in range(batch):
            same = [np.array_equal(answer[row], own[0]) for answer, own in zip(together, alone[row], strict=True)]
            assert all(same), (batch, row)


def test_the_logarithm_is_one() -> None:
    value = torch.exp(torch.linspace(-10, 10, 10_001, dtype=torch.float64))
    assert (logarithm(value.float()).double() - torch.log(value)).abs().max() < 1e-5


@pytest.mark.parametrize("lights", [1, 4])
@pytest.mark.parametrize("size", [(1, 1), (53, 37), (480, 640)], ids=str)
def test_recombine_takes_any_size_and_any_number_of_lights(
    repository: Path, size: tuple[int, int], lights: int
) -> None:
    _, alpha, thresholds, albedo, shading, _, planes = example_inputs(read_contract("recombine"), 1)
    photo = torch.randint(0, 256, (1, *size, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    _, scene = tensors(*[{}] * lights)
    inputs = (photo, alpha, thresholds, albedo, shading[:, :1].repeat(1, lights, 1, 1, 1), scene, planes)
    output, degraded, reflectance, mask = run(repository, "recombine", inputs)
    assert output.shape == degraded.shape == (1, lights, 2, *size, 3)
    assert reflectance.shape == (1, 2, *size, 3)
    assert mask.shape == (1, *size)
    assert np.ptp(output, axis=1).max() == 0  # the same light K times


@pytest.mark.parametrize("name", FACES)
def test_retinex_differs_from_the_direct_formula_by_under_two_levels(name: str) -> None:
    image = sample(name, 768).astype(np.float32)
    blurs = [
        cv2.GaussianBlur(image, (0, 0), sigma * 0.75, borderType=cv2.BORDER_REFLECT_101) for sigma in (15, 80, 250)
    ]
    direct = np.mean([np.log10(image + 1) - np.log10(blur + 1) for blur in blurs], axis=0)
    direct = (direct - direct.min()) / (direct.max() - direct.min()) * 255
    low, high = np.percentile(direct, (1, 99), axis=(0, 1))
    expected = np.clip((direct - low) / (high - low), 0, 1) * 255
    found = Retinex().multi_scale(planes(image).to(torch.uint8))[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(found - expected).max() < 2


def test_tables_are_looked_up_with_narrow_indices(repository: Path) -> None:
    graph = onnx.load(repository / "recombine" / "1" / onnx_file.MODEL).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    indices = [types[node.input[1]] for node in graph.node if node.op_type == "GatherElements"]
    assert indices
    assert set(indices) == {onnx.TensorProto.INT32}


def encode_levels(values: Tensor, in_srgb: Tensor) -> Tensor:
    """sRGB levels of working values in 0–1, looked up as `recombine` does."""
    offset = encoding_offset(in_srgb, torch.tensor(0.0))
    return look_up(encoding_table(), (values * SCALE + offset).to(torch.int32))


@pytest.mark.parametrize("in_srgb", [0, 1], ids=["linear light", "sRGB"])
def test_every_level_survives_the_tables(in_srgb: int) -> None:
    levels, space = torch.arange(256, dtype=torch.uint8), torch.tensor(in_srgb, dtype=torch.int32)
    values = decode_levels(levels, decoding_table(), space)
    assert torch.equal(encode_levels(values, space.float()), levels)


@pytest.mark.parametrize("in_srgb", [0, 1], ids=["linear light", "sRGB"])
def test_encoding_is_rounding_to_within_a_tenth_of_a_level(in_srgb: int) -> None:
    values = torch.linspace(0, 1, 7 * STEPS + 3, dtype=torch.float64)
    exact = 255 * (values if in_srgb else linear_to_srgb(values))
    codes = encode_levels(values.float(), torch.tensor(float(in_srgb)))
    assert (codes.double() - exact).abs().max() <= 0.5 + 0.1


@pytest.mark.parametrize("name", FACES)
def test_colour_finds_the_face_and_not_the_upper_corners(name: str) -> None:
    tokens = torch.zeros((1, 32), dtype=torch.int64)
    with torch.no_grad():
        alpha, score, box, count = build("segment")(
            planes(sample(name, 1008)), tokens, tokens, torch.tensor([[0.0, 0.5]]), torch.ones(1, 1)
        )
    x, y = (int(share * 288) for share in FACES[name])
    assert alpha[0, 0, y - 8 : y + 8, x - 8 : x + 8].min() > 0.5
    assert alpha[0, 0, :24, :24].max() < 0.5
    assert alpha[0, 0, :24, -24:].max() < 0.5
    assert 0 < score.item() <= 1
    assert count.item() == 1
    left, top, right, bottom = box[0].tolist()
    assert 0 <= left < FACES[name][0] < right <= 1
    assert 0 <= top < FACES[name][1] < bottom <= 1


def shade_disc(light: Numbers, disc: Tensor, pixels: Tensor | None = None) -> Tensor:
    """The diffuse light of `inflate` on a mask, float [518,518]."""
    flat = torch.full((1, 3, 518, 518), 128, dtype=torch.uint8) if pixels is None else pixels
    with torch.no_grad():
        shading: Tensor = build("shadow")(flat, disc, torch.ones(1, 1), *tensors(light))[0]
    assert shading.shape == (1, 1, 6, 518, 518)
    return shading[0, 0, 0].float()


def disc(x: float = 0.5) -> Tensor:
    """A mask, float [1,1,288,288]: a soft-edged disc of a quarter of the photo's width."""
    centres = (torch.arange(288) + 0.5) / 288
    distance = torch.sqrt((centres[None, :] - x) ** 2 + (centres[:, None] - 0.5) ** 2)
    return ((0.25 - distance) * 288 + 0.5).clamp(0, 1)[None, None]


def test_light_from_the_left_falls_on_the_left() -> None:
    diffuse = shade_disc({"direction_x": -0.8, "direction_z": 0.6}, disc())
    left, right = diffuse[150:368, 150:259].mean(), diffuse[150:368, 259:368].mean()
    assert left > right + 0.1


def test_a_mirrored_photo_under_a_mirrored_light_is_the_mirrored_picture() -> None:
    pixels, mask = planes(sample("astronaut.png", 518)), disc(0.4)
    picture = shade_disc({"direction_x": -0.6, "direction_y": -0.3, "direction_z": 0.7}, mask, pixels)
    mirrored = shade_disc({"direction_x": 0.6, "direction_y": -0.3, "direction_z": 0.7}, mask.flip(3), pixels.flip(3))
    assert (picture - mirrored.flip(1)).abs().max() <= 2e-3
    assert (picture - mirrored).abs().max() > 0.1  # else nothing was mirrored


def test_ambient_light_alone_has_no_shadow() -> None:
    assert torch.equal(
        shade_disc({"direction_x": -0.8, "direction_z": 0.6, "intensity": 0.0} | even(1.0), disc()),
        torch.ones(518, 518),
    )


@pytest.mark.parametrize("arithmetic", [0.0, 1.0], ids=["linear light", "sRGB"])
def test_under_neutral_light_the_person_is_the_photo(repository: Path, arithmetic: float) -> None:
    """Blend 1 keeps the photo's own colours, shading 1 its brightness; around it is the background gray."""
    photo = sample("grace_hopper.jpg", 200)
    _, _, thresholds, albedo, _, _, _ = example_inputs(read_contract("recombine"), 1)
    shading = torch.cat((torch.ones(1, 1, 3, 518, 518), torch.zeros(1, 1, 3, 518, 518)), dim=2).half()
    _, scene = tensors({"albedo_blend": 1.0, "gray": 77.0, "arithmetic": arithmetic})
    planes = torch.zeros(1, 1, dtype=torch.int32)
    inputs = (torch.from_numpy(photo.copy())[None], disc(), thresholds, albedo, shading, scene, planes)
    output, degraded, _, mask = (answer[0] for answer in run(repository, "recombine", inputs))
    inside, outside = mask == 255, mask == 0
    assert inside.sum() > 5000
    for picture, gray in ((output[0, 0], 77), (degraded[0, 0], 0)):
        assert np.abs(picture.astype(int) - photo)[inside].max() <= 1
        assert (picture[outside] == gray).all()
