"""A bank of one shadow pattern: the built-in bank takes longer to draw than the tests that use this one."""

from pathlib import Path

import cv2
import numpy as np

from export.networks.pattern_bank import PatternBank


def stripe(folder: Path) -> PatternBank:
    """A bank with one stripe of shadow, whose image is written to `folder`."""
    cv2.imwrite(str(folder / "stripe.png"), np.tile(np.array([0, 255, 255, 0], np.uint8), (4, 1)))
    return PatternBank(folder, built_in=False)
