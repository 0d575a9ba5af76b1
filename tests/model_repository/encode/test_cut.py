"""What encode promises of the square around a person."""

import numpy as np
import pytest
from cut import around_person


@pytest.mark.parametrize(
    ("size", "box", "corner"),
    [
        ((300, 100), (0.2, 0.1, 0.4, 0.9), (40, 0)),  # left of the middle
        ((300, 100), (0.0, 0.1, 0.1, 0.9), (0, 0)),  # at the edge
        ((300, 100), (0.9, 0.1, 1.0, 0.9), (200, 0)),
        ((300, 100), (0.1, 0.1, 0.9, 0.9), (100, 0)),  # wider than the square
        ((100, 300), (0.2, 0.4, 0.9, 0.6), (0, 100)),
        ((100, 300), (0.2, 0.2, 0.9, 0.9), (0, 60)),  # taller than the square: the head stays
        ((100, 100), (0.2, 0.2, 0.9, 0.9), (0, 0)),
        ((300, 100), (np.nan, -1.0, np.nan, 7.0), (100, 0)),
    ],
)
def test_the_person_is_in_the_middle_as_far_as_the_photo_reaches(
    size: tuple[int, int], box: tuple[float, ...], corner: tuple[int, int]
) -> None:
    cut = around_person(*size, np.array(box, np.float32))
    assert (cut.left, cut.top) == corner
    assert cut.size == (100, 100)
