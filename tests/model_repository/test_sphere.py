"""A sphere and a plane under light, through the server: the files hold the analytic answer."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import tritonclient.grpc
from PIL import Image
from torch import Tensor

from contract.light import CHANNELS, LIGHT, SCENE, row_of
from export.exporter import Candidate, export
from export.networks.illumination import SLOPE
from export.networks.pattern_bank import PatternBank
from export.networks.shading import SIDE, Shadow
from server.embedded import RunningServer
from tests.rig.exr import channels
from tests.rig.photos import png
from tests.rig.requests import Rows, ask, request
from tests.rig.served import serving
from tests.rig.stripe import stripe

RADIUS = 0.4  # of the sphere, in photo sides; its middle is the photo's
ARRAY = npt.NDArray[np.float64]


def places() -> tuple[ARRAY, ARRAY]:
    """x and y of the pixels' centres from the middle in radii, float64 [518,518]."""
    line = ((np.arange(SIDE) + 0.5) / SIDE - 0.5) / RADIUS
    x, y = np.meshgrid(line, line)
    return x, y


class Sphere(Shadow):
    """The camera's side of a sphere before a plane, whatever the photo."""

    slope: Tensor
    height: Tensor

    def __init__(self, patterns: PatternBank) -> None:
        super().__init__(patterns)
        x, y = places()
        z = np.sqrt(np.maximum(1.0 - x * x - y * y, 1e-3))
        inside = x * x + y * y < 1.0
        slope = np.where(inside, np.stack((-x, -y)) / z / SLOPE, 0.0)
        self.register_buffer("slope", torch.from_numpy(slope).float()[None], persistent=False)
        self.register_buffer("height", torch.from_numpy(inside * z).float()[None, None], persistent=False)

    def heights(self, pixels: Tensor, alpha: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The sphere in radii, for every photo."""
        height = self.height + 0.0 * mask
        return height, height

    def surface(self, pixels: Tensor, alpha: Tensor, mask: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
        """Its analytic slopes in place of differences between pixels."""
        _, height = self.heights(pixels, alpha, mask)
        return self.slope + 0.0 * mask, height


@pytest.fixture(scope="module")
def sphere_server(plain_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("sphere")
    models = shutil.copytree(plain_repository, folder / "models")
    export(Candidate("shadow", "sphere", "none", Sphere(stripe(folder)).eval()), models / "shadow" / "1")
    with serving(models, folder, max_batch=1) as running:
        yield running


def source(direction: tuple[float, float, float], **numbers: float) -> dict[str, float]:
    length = float(np.linalg.norm(direction))
    return {f"direction_{axis}": one / length for axis, one in zip("xyz", direction, strict=True)} | numbers


KEY = source((-0.6, -0.5, 0.6), intensity=0.8, color_red=1.1, color_blue=0.7)
FILL = source((0.8, 0.1, 0.5), intensity=0.3, color_green=0.6)
RIM = source((0.4, -0.7, -0.3), intensity=0.5)
COEFFICIENTS = np.random.default_rng(3).normal(0.0, 0.06, (9, 3))
COEFFICIENTS[0] = 0.5  # bright enough to be positive everywhere
SKY = {
    f"irradiance_{index}_{channel}": float(COEFFICIENTS[index, place])
    for index in range(9)
    for place, channel in enumerate(CHANNELS)
}


def rows(*pictures: tuple[list[dict[str, float]], dict[str, float]]) -> Rows:
    """LIGHT and SCENE of pictures, each with its sources and scene."""
    most = max(len(sources) for sources, _ in pictures)
    light = [
        [row_of(LIGHT, one) for one in sources + [{"intensity": 0.0}] * (most - len(sources))]
        for sources, _ in pictures
    ]
    scene = [row_of(SCENE, numbers) for _, numbers in pictures]
    return {LIGHT: np.array([light], np.float32), SCENE: np.array([scene], np.float32)}


def analytic(normal: ARRAY, sources: list[dict[str, float]], environment: bool) -> ARRAY:
    """Lambert's law of each source and the environment's nine polynomials, float64 [H,W,3]."""
    x, y, z = np.moveaxis(normal, 2, 0)
    light = np.zeros((*normal.shape[:2], 3))
    for one in sources:
        cosine = np.maximum(0.0, sum(normal[:, :, k] * one[f"direction_{axis}"] for k, axis in enumerate("xyz")))
        color = [one.get(f"color_{channel}", 1.0) * one["intensity"] for channel in CHANNELS]
        light += cosine[:, :, np.newaxis] * color
    if environment:
        basis = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
        light += np.einsum("khw,kc->hwc", np.stack(basis), COEFFICIENTS)
    return light


@pytest.fixture(scope="module")
def answer(sphere_server: RunningServer) -> dict[str, Any]:
    """Four pictures: the key, the environment, two sources, all of it."""
    photo = png(Image.new("RGB", (SIDE, SIDE), (150, 150, 150)))
    light = rows(([KEY], {}), ([], SKY), ([FILL, RIM], {}), ([KEY, FILL, RIM], SKY))
    return ask(sphere_server, request(tritonclient.grpc, photo, light, b"shading,normal,depth;exr"))


def geometry() -> tuple[ARRAY, npt.NDArray[np.bool_]]:
    """Normals of sphere and plane, float64 [518,518,3], and where they are certain: the rim is left out."""
    x, y = places()
    z = np.sqrt(np.maximum(1.0 - x * x - y * y, 1e-3))
    distance = np.hypot(x, y)
    inside = (distance < 1.0)[:, :, np.newaxis]
    return np.where(inside, np.stack((x, y, z), axis=2), [0.0, 0.0, 1.0]), (distance < 0.97) | (distance > 1.03)


@pytest.mark.parametrize(
    ("picture", "sources", "environment"),
    [(0, [KEY], False), (1, [], True), (2, [FILL, RIM], False), (3, [KEY, FILL, RIM], True)],
    ids=["a key", "an environment", "fill and rim", "all of it"],
)
def test_shading_is_the_analytic_one_to_an_eighth_bit(
    answer: dict[str, Any], picture: int, sources: list[dict[str, float]], environment: bool
) -> None:
    normal, certain = geometry()
    found = channels(answer["SHADING"][0, picture])["RGB"].astype(float)
    missed = np.abs(found - analytic(normal, sources, environment))[certain]
    assert missed.max() < 1 / 255


def test_all_of_it_is_the_sum_of_its_parts(answer: dict[str, Any]) -> None:
    parts = [channels(answer["SHADING"][0, k])["RGB"].astype(float) for k in range(4)]
    assert np.abs(sum(parts[:3]) - parts[3]).max() < 2e-3  # half precision


def test_the_normal_file_has_y_up_and_unit_length(answer: dict[str, Any]) -> None:
    normal, certain = geometry()
    found = channels(answer["NORMAL"][0, 0])["RGB"].astype(float)
    assert np.abs(np.linalg.norm(found, axis=2) - 1.0).max() < 1e-3
    assert np.abs(found - normal * [1.0, -1.0, 1.0])[certain].max() < 2e-3
