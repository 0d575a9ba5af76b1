"""Whether a contestant made the very pictures that ours makes: else it does other work, and is not compared."""

from collections.abc import Mapping

import cv2
import numpy as np

from benchmarks.peers.job import Job
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import PICTURES, Pixels

TOLERANCE = 2  # levels of 255: runtimes round differently
# The mask's edge is steep, and rounding shifts it: so many levels, at so large a share of a picture's values.
EDGE, STRAYS = 16, 1e-3

Reference = Mapping[tuple[str, str], Pixels]  # by the name of the row and of the picture


def read_pictures(job: Job) -> Reference:
    """A job's pictures as ours wrote them."""
    found = {(row.name, name): read_picture(job, row, name) for row in job.rows for name in PICTURES}
    return {key: pixels for key, pixels in found.items() if pixels is not None}


def read_picture(job: Job, row: Row, name: str) -> Pixels | None:
    """uint8 [H,W,3] or [H,W]; None where there is no such picture."""
    pixels = cv2.imread(str(job.picture(row, name)), cv2.IMREAD_UNCHANGED)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def difference(job: Job, reference: Reference) -> str | None:
    """The first thing about a finished job that is not as in `reference`, as words; None where all is."""
    for row in job.rows:
        for name in PICTURES:
            picture, ours = read_picture(job, row, name), reference[row.name, name]
            if picture is None:
                return f"it wrote no {name} of {row.photo}"
            if picture.shape != ours.shape:
                return f"its {name} of {row.photo} is {list(picture.shape)}, ours {list(ours.shape)}"
            levels = cv2.absdiff(picture, ours)
            if levels.max() > EDGE or np.count_nonzero(levels > TOLERANCE) > STRAYS * picture.size:
                return f"its {name} of {row.photo} differs from ours by up to {levels.max()} levels"
    return None


def missing(job: Job) -> str | None:
    """The first file that a finished job lacks, as words; None where all are there."""
    for row in job.rows:
        for name in PICTURES:
            file = job.picture(row, name)
            if not file.exists() or file.stat().st_size == 0:
                return f"it wrote no {name} of {row.photo}"
    return None
