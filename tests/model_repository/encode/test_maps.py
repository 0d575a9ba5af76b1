"""What encode promises of the maps: each one's values in 8 bits, 16 bits and floats, enlarged as torch enlarges."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from cut import Cut, whole
from maps import encode_alpha, encode_depth, encode_normal, encode_shading, enlarged

from contract.files import WHITE, parse_files
from tests.rig.exr import channels
from tests.rig.png import read_by_opencv

Array = npt.NDArray[Any]
SIZE = 90, 70
PHOTO = whole(70, 90)
PNG, DEEP, EXR = (parse_files(f"alpha,normal,depth,shading;{wanted}") for wanted in ("png", "png:16", "exr"))


def smooth(count: int, seed: int = 0) -> Array:
    """A map of a few waves, float32 [count, 40, 40] about 0-1."""
    coarse = np.random.default_rng(seed).random((count, 8, 8), np.float32)
    return enlarged(coarse, whole(40, 40)).reshape(40, 40, -1).transpose(2, 0, 1)


def by_torch(planes: Array, size: tuple[int, int] = SIZE) -> Array:
    """[C, h, w] → [H, W, C]."""
    large = torch.nn.functional.interpolate(torch.tensor(planes[None]).float(), size, mode="bilinear")
    return large[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(90, 70), (40, 40), (17, 200), (1, 1)])
def test_a_map_is_enlarged_as_by_torch(size: tuple[int, int]) -> None:
    planes = smooth(3)
    assert np.abs(enlarged(planes, whole(*size[::-1])) - by_torch(planes, size)).max() < 1e-5


def test_a_part_of_a_map_is_cut_after_it_is_enlarged() -> None:
    planes = smooth(3)
    assert np.array_equal(enlarged(planes, Cut(70, 90, 5, 11, 65, 71)), enlarged(planes, PHOTO)[11:71, 5:65])


def test_alpha_is_a_probability() -> None:
    alpha = smooth(1)
    expected = by_torch(alpha)[..., 0]
    assert np.abs(read_by_opencv(encode_alpha(PNG, alpha, PHOTO)) - 255 * expected).max() < 0.51
    deep = read_by_opencv(encode_alpha(DEEP, alpha, PHOTO))
    assert deep.dtype == np.uint16
    assert np.abs(deep - 65_535 * expected).max() < 1
    floats = channels(encode_alpha(EXR, alpha, PHOTO))["Y"]
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() < 1e-5


def test_a_normal_has_length_one_and_y_up() -> None:
    normal = smooth(3).astype(np.float16) - np.float16(0.5)
    large = by_torch(normal) * (1, -1, 1)
    expected = large / np.linalg.norm(large, axis=-1, keepdims=True)
    floats = channels(encode_normal(EXR, normal, PHOTO))["RGB"]
    assert np.abs(np.linalg.norm(floats, axis=-1) - 1).max() < 1e-5
    assert np.abs(floats - expected).max() < 1e-4
    for files, most in ((PNG, 255), (DEEP, 65_535)):
        values = read_by_opencv(encode_normal(files, normal, PHOTO))
        assert np.abs(values - most * (expected + 1) / 2).max() < (0.51 if most == 255 else 4)


def test_a_normal_without_a_direction_faces_the_camera() -> None:
    assert (channels(encode_normal(EXR, np.zeros((3, 4, 4), np.float16), whole(2, 2)))["RGB"] == (0, 0, 1)).all()


def test_depth_is_in_standard_deviations() -> None:
    height = np.array([[[-5, -4, 0, 1, 4, 5]]], np.float16)
    expected = np.clip((np.float64(height[0]) + 4) / 8, 0, 1) * 65_535
    for files in (PNG, DEEP):  # never 8 bits
        assert np.abs(read_by_opencv(encode_depth(files, height, whole(6, 1))) - expected).max() < 1
    assert np.array_equal(channels(encode_depth(EXR, height, whole(6, 1)))["Y"], height[0])


def test_shading_is_linear_and_1_is_16384() -> None:
    shading = smooth(6).astype(np.float16) * np.float16(6)
    expected = by_torch(shading)
    for files in (PNG, DEEP):
        values = read_by_opencv(encode_shading(files, shading, PHOTO))
        assert np.abs(values - np.minimum(expected[..., :3] * WHITE, 65_535)).max() < 1
    floats = channels(encode_shading(EXR, shading, PHOTO))
    assert {name: values.dtype for name, values in floats.items()} == {"RGB": np.float16, "specular": np.float16}
    assert np.abs(floats["RGB"] - expected[..., :3]).max() < 4e-3
    assert np.abs(floats["specular"] - expected[..., 3:]).max() < 4e-3
