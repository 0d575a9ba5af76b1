"""The shadow patterns: drawn, placed, blurred, and a user's own. Pure tensors, no server."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.errors import ExportError
from export.networks.filters import gaussian_blur
from export.networks.pattern_bank import BLUR_SCALE, VARIANTS, PatternBank
from export.networks.patterns import PATTERNS, SIDE, Canvas, draw
from tests.rig.lights import light, tensors

ASPECT = torch.ones(1, 1)


@pytest.fixture(scope="module")
def patterns() -> PatternBank:
    return PatternBank()


@pytest.mark.parametrize("number", range(1, 11))
def test_each_pattern_shades_differs_by_seed_and_repeats(patterns: PatternBank, number: int) -> None:
    assert patterns.names[number - 1] == PATTERNS[number - 1].__name__
    rows, _ = tensors(*(light(pattern_id=number, pattern_opacity=0.8, pattern_seed=seed) for seed in (1, 1, 2)))
    first, again, other = patterns(rows[:, :, 0], ASPECT)[0]
    assert torch.equal(first, again)
    assert float((first - other).abs().mean()) > 0.02
    assert 0.2 - 1e-5 <= float(first.min()) < 0.6
    assert float(first.max()) <= 1.0


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: str(pattern.__name__))
def test_each_pattern_is_seen_on_a_face(pattern: Callable[[Canvas], Tensor]) -> None:
    """Within a face's width of a texture, at the strongest blur that is drawn, there are both light and shadow."""
    for variant in range(VARIANTS):
        texture = draw(pattern, 100 * PATTERNS.index(pattern) + variant)
        assert 0.1 <= float(texture.mean()) <= 0.75
        faces = F.unfold(gaussian_blur(texture[None, None], 8.0 * BLUR_SCALE), SIDE // 5, stride=SIDE // 16)
        sparse = pattern.__name__ == "branch"  # bare twigs before an open sky
        assert float(faces.std(1).median()) >= (0.2 if sparse else 0.325)


def test_no_pattern_and_unknown_patterns_take_no_light(patterns: PatternBank) -> None:
    rows, _ = tensors(light(pattern_id=0), light(pattern_id=11))
    assert bool((patterns(rows[:, :, 0], ASPECT) == 1.0).all())


def test_blur_softens_a_pattern_step_by_step(patterns: PatternBank) -> None:
    rows, _ = tensors(*(light(pattern_id=10, pattern_blur=blur) for blur in (0.0, 2.0, 4.0, 8.0, 16.0)))
    drawn = patterns(rows[:, :, 0], ASPECT)[0]
    edges = [float((one[:, 1:] - one[:, :-1]).abs().max()) for one in drawn]
    assert edges == sorted(edges, reverse=True)
    assert edges[0] > 2.0 * edges[-1]


def test_a_folder_of_materials_joins_or_replaces_the_patterns(tmp_path: Path, patterns: PatternBank) -> None:
    half = np.full((300, 200), 255, np.uint8)
    half[:, :100] = 0  # dark on the left
    cv2.imwrite(str(tmp_path / "gobo.png"), half)
    joined, alone = PatternBank(tmp_path), PatternBank(tmp_path, built_in=False)
    assert joined.names == (*patterns.names, "gobo")
    assert alone.names == ("gobo",)
    rows, _ = tensors(light(pattern_id=1, pattern_opacity=1.0, pattern_blur=0.0))
    drawn = alone(rows[:, :, 0], ASPECT)[0, 0]
    assert float(drawn[:, 20:80].mean()) < 0.05
    assert float(drawn[:, 440:500].mean()) > 0.95


def test_materials_that_are_no_images_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds no images"):
        PatternBank(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(ExportError, match=r"notes\.txt is not an image"):
        PatternBank(tmp_path)
