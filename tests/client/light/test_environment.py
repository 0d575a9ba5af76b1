"""Environments: turned exactly, exposed as promised, read from files or refused with a sentence."""

import sys
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.light.distributions import SettingsError
from client.light.environment import Environment, built_in, environment_of, exposed, read_environments, turned
from client.light.radiance_map import LUMINANCE, Floats, Pixels, polynomials
from contract.light import FACTOR

WIDTH = 64


def noisy_map(seed: int = 0) -> Floats:
    """A map with a lamp, [H,W,3]."""
    radiance = np.random.default_rng(seed).exponential(size=(WIDTH // 2, WIDTH, 3))
    radiance[8, 40:42] = 300, 200, 100
    return radiance


def close(one: Environment, other: Environment) -> None:
    np.testing.assert_allclose(one.whole, other.whole, atol=1e-12)
    np.testing.assert_allclose(one.rest, other.rest, atol=1e-12)
    assert one.spot is not None
    assert other.spot is not None
    np.testing.assert_allclose(one.spot.direction, other.spot.direction, atol=1e-12)
    np.testing.assert_allclose(one.spot.color, other.spot.color)


@given(st.integers(0, 2**32 - 1), st.integers(-2 * WIDTH, 2 * WIDTH))
def test_turning_is_rolling_the_map(seed: int, columns: int) -> None:
    radiance = noisy_map(seed)
    rolled = environment_of("a", "", np.roll(radiance, columns, axis=1))
    close(turned(environment_of("a", "", radiance), 360 * columns / WIDTH), rolled)


@given(st.floats(-360, 360))
def test_turning_back_and_turning_fully_change_nothing(azimuth: float) -> None:
    environment = environment_of("a", "", noisy_map())
    close(turned(turned(environment, azimuth), -azimuth), environment)
    close(turned(environment, 360), environment)


def shading_of_a_sphere(environment: Environment) -> float:
    """The mean luminance of a white sphere's disc, by summing pixels."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, 201)] * 2)
    inside = x**2 + y**2 < 1
    z = np.sqrt(np.where(inside, 1 - x**2 - y**2, 0))
    normals = np.stack([x, y, z])[:, inside]
    shading = np.einsum("jn,jc->nc", np.stack([polynomials(normal) for normal in normals.T], 1), environment.rest)
    if environment.spot is not None:
        shading += np.clip(environment.spot.direction @ normals, 0, None)[:, None] * environment.spot.color
    return float(shading.mean(0) @ LUMINANCE)


@pytest.mark.parametrize("name", ["clear_noon", "sun_behind", "overcast"])
def test_exposure_is_the_mean_shading_of_the_visible_half_of_a_sphere(name: str) -> None:
    environment = exposed(next(one for one in built_in() if one.name == name), 0.6)
    assert shading_of_a_sphere(environment) == pytest.approx(0.6, rel=2e-3)
    assert environment.rest == pytest.approx(exposed(environment, 0.3).rest * 2)


def test_a_light_straight_behind_stays_in_the_contracts_range() -> None:
    radiance = np.full((32, 64, 3), 1e-6)
    radiance[15:17, 31:33] = 1
    environment = exposed(environment_of("behind", "", radiance), 0.5)
    assert environment.spot is not None
    assert max(environment.spot.color) == pytest.approx(FACTOR.high)
    assert np.abs(environment.whole[1:]).max() <= 2 * FACTOR.high
    with pytest.raises(ValueError, match="the environment night gives no light; leave it out"):
        exposed(environment_of("night", "", np.zeros((4, 8, 3))), 0.5)


def write_exr(path: Path, **channels: Pixels) -> None:
    OpenEXR.File({}, channels).write(str(path))


def test_both_formats_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    radiance = (2.0 ** np.round(np.log2(noisy_map()))).astype(np.float32)  # what RGBE and half hold exactly
    radiance = np.maximum(radiance, radiance.max(-1, keepdims=True) / 64)
    cv2.imwrite(str(tmp_path / "c.HDR"), radiance[..., ::-1])
    write_exr(tmp_path / "a.exr", RGB=radiance)
    write_exr(tmp_path / "b.exr", RGBA=np.pad(radiance, [(0, 0), (0, 0), (0, 1)]).astype(np.float16))
    layers = {f"ViewLayer.Combined.{color}": radiance[..., index].copy() for index, color in enumerate("RGB")}
    write_exr(tmp_path / "d.exr", **layers)
    (tmp_path / "readme.txt").write_text("not a map")
    environments = read_environments(str(tmp_path))
    assert [environment.name for environment in environments] == ["a", "b", "c", "d"]
    assert len({environment.digest for environment in environments}) == 4
    assert all(len(environment.digest) == 16 for environment in environments)
    for environment in environments:
        close(environment, environment_of("", "", radiance.astype(float)))
    assert read_environments("built-in") is built_in()


def test_large_maps_are_reduced_and_negative_values_are_nothing(tmp_path: Path) -> None:
    radiance = np.full((800, 1600, 3), 0.5, np.float32)
    radiance[:, ::2] = -7
    write_exr(tmp_path / "large.exr", RGB=radiance)
    (environment,) = read_environments(str(tmp_path))
    np.testing.assert_allclose(environment.whole[0], 0.25, rtol=1e-6)
    assert environment.spot is None


GOOD = np.ones((4, 8, 3), np.float32)


@pytest.mark.parametrize(
    ("name", "pixels", "sentence"),
    [
        ("square.exr", np.ones((8, 8, 3), np.float32), r"square\.exr is 8x8; an equirectangular map is twice as wide"),
        ("dot.exr", np.ones((1, 1, 3), np.float32), r"dot\.exr is 1x1; .* export it so, or leave it out"),
        ("sun.exr", np.where(np.arange(96).reshape(4, 8, 3) > 93, np.inf, GOOD), r"sun\.exr has 2 values that are inf"),
        ("hole.hdr", np.zeros((4, 8, 3), np.float32), r"hole\.hdr is black and gives no light; leave it out"),
        (
            "half.hdr",
            b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 8\n\x02",
            r"half\.hdr cannot be read \(.*; save it",
        ),
        ("text.exr", b"a text", r"text\.exr cannot be read \(it is no whole OpenEXR picture\); save it again"),
        ("depth.exr", {"Z": GOOD[..., 0].copy()}, r"depth\.exr has the channels Z and not R, G and B; save it as RGB"),
        ("b.txt", b"", r" has no \.hdr or \.exr file; put environment maps there, or use built-in"),
    ],
)
def test_what_cannot_light_is_refused_with_its_name(
    tmp_path: Path, name: str, pixels: Pixels | bytes | dict[str, Pixels], sentence: str
) -> None:
    path = tmp_path / name
    if isinstance(pixels, bytes):
        path.write_bytes(pixels)
    elif isinstance(pixels, dict):
        write_exr(path, **pixels)
    elif path.suffix == ".exr":
        write_exr(path, RGB=pixels.astype(np.float32))
    else:
        cv2.imwrite(str(path), pixels)
    with pytest.raises(SettingsError, match=sentence) as refused:
        read_environments(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_folders_and_names_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none cannot be read \(No such file or directory\); name a folder"):
        read_environments(str(tmp_path / "none"))
    write_exr(tmp_path / "a.exr", RGB=GOOD)
    cv2.imwrite(str(tmp_path / "a.hdr"), GOOD)
    with pytest.raises(SettingsError, match=r"a\.hdr has the name of a\.exr; rename one of the two"):
        read_environments(str(tmp_path))
    (tmp_path / "a.hdr").unlink()
    (tmp_path / "b.exr").mkdir()
    with pytest.raises(SettingsError, match=r"b\.exr cannot be read \(Is a directory\)"):
        read_environments(str(tmp_path))


@pytest.mark.parametrize(("ending", "package"), [(".hdr", "cv2"), (".exr", "OpenEXR")])
def test_without_its_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, package: str
) -> None:
    (tmp_path / f"a{ending}").write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"a{ending} needs .* pip install 'relight-triton\[environments\]'"):
        read_environments(str(tmp_path))
