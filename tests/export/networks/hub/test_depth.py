"""The depth network's relief stands the right way round, is lit as `inflate` lights its own, and exports faithfully."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DPTImageProcessor
from transformers.models.depth_anything import DepthAnythingForDepthEstimation

from export.networks.hub.depth import (
    SOURCE,
    DepthShadow,
    full_random_depth,
    load_depth,
    relief,
    tiny_depth,
)
from export.networks.pattern_bank import PatternBank
from export.networks.shading import SIDE
from export.tensors import example_inputs, read_contract
from tests.rig.lights import tensors
from tests.rig.stripe import stripe


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> PatternBank:
    return stripe(tmp_path_factory.mktemp("materials"))


@cache
def model() -> DepthAnythingForDepthEstimation:
    return tiny_depth(0)


@cache
def inputs(batch: int = 2) -> tuple[Tensor, ...]:
    return example_inputs(read_contract("shadow"), batch, seed=3)


class Ball(nn.Module):
    """A depth network that sees a ball before a wall, in relative inverse depth: larger is nearer."""

    config = SimpleNamespace(model_type="depth_anything", depth_estimation_type="relative")
    dtype = torch.float32

    def forward(self, pixel_values: Tensor) -> Any:
        line = torch.linspace(-2.0, 2.0, SIDE)
        bulge = (1.0 - line.reshape(1, -1) ** 2 - line.reshape(-1, 1) ** 2).clamp(min=0.0).sqrt()
        return SimpleNamespace(predicted_depth=(3.0 + bulge).expand(pixel_values.shape[0], SIDE, SIDE))


def light_from(x: float, y: float, z: float) -> tuple[Tensor, Tensor]:
    """LIGHT and SCENE of one light without ambient, specular or pattern."""
    return tensors({"direction_x": x, "direction_y": y, "direction_z": z})


def lit_ball(light: tuple[Tensor, Tensor], patterns: PatternBank) -> Tensor:
    """Diffuse light on the ball, float [518,518]; the mask is the ball."""
    line = torch.linspace(-2.0, 2.0, 288)
    alpha = (line.reshape(1, -1) ** 2 + line.reshape(-1, 1) ** 2 < 1.0).float().reshape(1, 1, 288, 288)
    network = DepthShadow(Ball(), patterns)  # type: ignore[arg-type]
    shading: Tensor = network(torch.zeros((1, 3, SIDE, SIDE), dtype=torch.uint8), alpha, torch.ones(1, 1), *light)[0]
    return shading[0, 0, 0].float()


@torch.no_grad()
def test_what_is_near_stands_high_and_turns_its_side_to_the_light(patterns: PatternBank) -> None:
    near, far = slice(SIDE // 2 - 90, SIDE // 2 - 40), slice(SIDE // 2 + 40, SIDE // 2 + 90)
    middle = slice(SIDE // 2 - 20, SIDE // 2 + 20)
    from_left, from_above = (
        lit_ball(light_from(-0.8, 0.0, 0.6), patterns),
        lit_ball(light_from(0.0, -0.8, 0.6), patterns),
    )
    assert from_left[middle, near].mean() > from_left[middle, far].mean() + 0.2
    assert from_above[near, middle].mean() > from_above[far, middle].mean() + 0.2


@torch.no_grad()
def test_height_is_standardised_within_the_mask_whatever_the_depths_scale_and_shift() -> None:
    mask = F.interpolate(inputs()[1], (SIDE, SIDE), mode="bilinear", align_corners=False)
    nearness = 5.0 + F.interpolate(torch.rand(2, 1, 9, 9), (SIDE, SIDE), mode="bicubic")
    height = relief(nearness, mask)
    mean = (height * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    spread = ((height - mean.reshape(-1, 1, 1, 1)) ** 2 * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
    assert mean.abs().max() < 1e-2
    assert (spread - 1.0).abs().max() < 1e-2
    assert torch.allclose(height, relief(40.0 * nearness - 7.0, mask), atol=1e-2)


@torch.no_grad()
def test_the_graph_normalises_as_the_models_own_image_processor_does(patterns: PatternBank) -> None:
    pixels = inputs()[0]
    processor = DPTImageProcessor(
        do_resize=False, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225], rescale_factor=1 / 255
    )
    prepared = processor(list(pixels), return_tensors="pt").pixel_values
    expected = model()(pixel_values=prepared).predicted_depth
    assert torch.allclose(DepthShadow(model(), patterns).nearness(pixels)[:, 0], expected, rtol=1e-4)


@torch.no_grad()
def test_every_photo_gets_its_own_relief_and_an_empty_mask_gives_numbers(patterns: PatternBank) -> None:
    network = DepthShadow(model(), patterns)
    pixels, alpha, aspect, *lights = inputs()
    near = network.nearness(pixels)
    assert near.std(dim=(1, 2, 3)).min() > 0.1
    assert (near[0] - near[1]).abs().mean() > 0.1
    answers = network(pixels, torch.zeros_like(alpha), aspect, *lights)
    shapes = ((2, 3, 6, SIDE, SIDE), (2, 3, SIDE, SIDE), (2, 1, SIDE, SIDE))
    assert tuple(tuple(answer.shape) for answer in answers) == shapes
    assert all(answer.dtype == torch.float16 and torch.isfinite(answer).all() for answer in answers)


@torch.no_grad()
def test_a_saved_network_loads_again(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    again = load_depth(str(tmp_path))
    assert not again.training
    for (name, weights), (_, loaded) in zip(model().named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(weights, loaded), name


def test_the_full_size_has_the_published_number_of_parameters() -> None:
    assert round(sum(weights.numel() for weights in full_random_depth().parameters()) / 1e6, 1) == 24.8


def test_metric_depth_is_refused_for_larger_is_farther_there(tmp_path: Path, patterns: PatternBank) -> None:
    metric = tiny_depth(0)
    metric.config.depth_estimation_type = "metric"
    with pytest.raises(ValueError, match="larger is farther"):
        DepthShadow(metric, patterns)
    metric.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=SOURCE):
        DepthShadow(load_depth(str(tmp_path)), patterns)


def test_another_network_is_refused(patterns: PatternBank) -> None:
    with pytest.raises(ValueError, match="Depth Anything network, not Linear"):
        DepthShadow(nn.Linear(1, 1), patterns)  # type: ignore[arg-type]
