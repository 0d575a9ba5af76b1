"""What encode promises of backgrounds: the person laid over each in the values that the light multiplies."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from levels import LINEAR, to_codes, to_linear, values_of
from pictures import Pictures

from contract.files import WHITE, Files, parse_files
from contract.light import BACKGROUNDS, LIGHT, SCENE, row_of
from contract.names import PICTURES
from tests.rig.exr import channels

Array = npt.NDArray[Any]
HEIGHT, WIDTH, GRAY = 40, 50, 100
PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
BACKDROP = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
MASK = np.clip(np.arange(WIDTH) * 12 - 150, 0, 255).astype(np.uint8)[np.newaxis].repeat(HEIGHT, 0)
SHARE = MASK[..., np.newaxis] / 255


def planes(codes: Array) -> Array:
    """Codes → uint8 [P,…] as `recombine` gives them."""
    return codes[np.newaxis] if codes.dtype == np.uint8 else np.stack([codes >> 8, codes & 255]).astype(np.uint8)


def arrays(files: Files, relit: Array, mask: Array = MASK, **scene: float) -> dict[str, Array]:
    """encode's inputs for two pictures of a photo, with the relit person's values [H, W, 3] in SCENE's arithmetic."""
    dtype, srgb = (np.uint8 if len(files.planes) == 1 else np.uint16), scene.get("arithmetic") == 1
    degraded = planes(to_codes((relit * (mask[..., np.newaxis] / 255)).astype(np.float32), dtype, srgb=srgb))
    ramp = np.linspace(0.5, 1.5, 518, dtype=np.float16)
    shading = np.broadcast_to(ramp[:, np.newaxis], (2, 6, 518, 518))
    return {
        "ORIGINAL": PHOTO,
        "MASK": mask,
        "OUTPUT_PIXELS": np.stack([np.full_like(degraded, 7)] * 2),
        "DEGRADED_PIXELS": np.stack([degraded] * 2),
        "ALBEDO_OUT": degraded,
        "ALPHA": np.ones((1, 288, 288), np.float32),
        "SHADING": shading,
        "NORMAL": np.zeros((3, 518, 518), np.float16),
        "HEIGHT": np.zeros((1, 518, 518), np.float16),
        "BACKDROP_PIXELS": BACKDROP,
        LIGHT: np.array([[row_of(LIGHT, {})]] * 2, np.float32),
        SCENE: np.array([row_of(SCENE, {"gray": GRAY} | scene)] * 2, np.float32),
    }


def laid(
    background: str, wanted: str = "exr", relit: Array | None = None, mask: Array = MASK, arithmetic: int = 0
) -> Array:
    """The output's values over a background, float64 [H, W, 3]: linear, of an 8-bit file sRGB levels."""
    files = parse_files(f"output;{wanted}")
    given = 2.0 * LINEAR[PHOTO] if relit is None else relit
    scene = {"background": BACKGROUNDS.index(background), "arithmetic": arithmetic}
    pictures = Pictures(files, arrays(files, given, mask, **scene))
    if wanted == "exr":
        return np.asarray(channels(pictures.jobs()["output"][1]())["RGB"], np.float64)
    return np.asarray(pictures._output(1), np.float64)


def test_over_gray_the_output_is_recombines() -> None:
    assert (laid("gray", "png") == 7).all()
    assert np.allclose(laid("gray"), (7 * 256 + 7) / WHITE, rtol=1e-3)


def test_the_photos_own_background_is_exposed_as_the_person_is() -> None:
    """The person is twice as bright as in the photo: so is all of it."""
    assert np.abs(laid("photo") - 2 * LINEAR[PHOTO]).max() < 0.01
    dark = laid("photo", relit=0.01 * LINEAR[PHOTO])  # not below a quarter
    assert np.abs(dark - LINEAR[PHOTO] * (0.01 * SHARE + 0.25 * (1 - SHARE))).max() < 0.001


def test_a_photo_without_a_person_keeps_its_background() -> None:
    nobody = np.zeros_like(MASK)
    assert np.array_equal(laid("photo", "png", mask=nobody), PHOTO)
    assert np.array_equal(laid("picture", "png", mask=nobody), BACKDROP)


@pytest.mark.parametrize("arithmetic", [0, 1])
def test_a_lit_plane_is_gray_times_the_light(arithmetic: int) -> None:
    rows = (np.arange(HEIGHT) + 0.5) / HEIGHT * 518 - 0.5
    light = np.interp(rows, np.arange(518), np.linspace(0.5, 1.5, 518))[:, np.newaxis, np.newaxis]
    relit = np.full(PHOTO.shape, 0.6)
    if arithmetic:
        blended = to_linear((relit * SHARE + light * GRAY / 255 * (1 - SHARE)).astype(np.float32))
    else:
        blended = relit * SHARE + light * LINEAR[GRAY] * (1 - SHARE)
    assert np.abs(laid("relit", relit=relit, arithmetic=arithmetic) - blended).max() < 0.002
    levels = laid("relit", "png", relit, arithmetic=arithmetic)
    assert np.abs(levels - to_codes(blended.astype(np.float32), np.uint8)).max() <= 1


@pytest.mark.parametrize("arithmetic", [0, 1])
@pytest.mark.parametrize("wanted", ["png", "exr"])
def test_a_picture_is_blended_in_the_values_that_the_light_multiplies(wanted: str, arithmetic: int) -> None:
    relit = np.full(PHOTO.shape, 0.6)
    behind = values_of(BACKDROP, srgb=arithmetic == 1)
    blended = (relit * SHARE + behind * (1 - SHARE)).astype(np.float32)
    found = laid("picture", wanted, relit, arithmetic=arithmetic)
    if wanted == "png":
        assert np.abs(found - to_codes(blended, np.uint8, srgb=arithmetic == 1)).max() <= 1
    else:
        assert np.abs(found - (to_linear(blended) if arithmetic else blended)).max() < 0.002


def test_16_bits_and_an_exr_hold_the_same_background() -> None:
    assert np.allclose(laid("picture", "png:16") / WHITE, laid("picture"), atol=1e-3)


def test_only_what_is_asked_for_is_made() -> None:
    files = parse_files("degraded,mask")
    jobs = Pictures(files, arrays(files, LINEAR[PHOTO])).jobs()
    assert tuple(jobs) == PICTURES
    made = {name: [bool(job()) for job in group] for name, group in jobs.items()}
    assert made == {
        name: [name in files.names] * (2 if name in ("output", "degraded", "shading", "environment") else 1)
        for name in PICTURES
    }
