"""The exported networks in one process, as someone would run them who has the ONNX files and no Triton."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.peers.job import PICTURES, THRESHOLDS

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
# The networks' inputs must be the very same for pictures to be compared, so everyone squashes photos by these lines.
sys.path.insert(0, str(REPOSITORY / "decode" / "1"))

from squares import write_squares  # noqa: E402

Pixels = NDArray[np.uint8]
SQUARES = (1008, 768, 518)  # of segment, albedo and shadow
TOKENS = 32


class Networks:
    """Four sessions of ONNX Runtime."""

    def __init__(self, threads: int) -> None:
        """Load the networks, each to use so many threads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Four sessions share the cores: as in our server, one that has nothing to do sleeps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        names = ("segment", "albedo", "shadow", "recombine")
        files = {name: REPOSITORY / name / "1" / "model.onnx" for name in names}
        self.sessions = {name: onnxruntime.InferenceSession(file, options) for name, file in files.items()}

    def relight(self, photos: Sequence[Pixels], lights: NDArray[np.float32]) -> list[dict[str, Pixels]]:
        """The pictures of each photo by name.

        Args:
            photos: uint8 [H,W,3] each, sRGB, all of one size.
            lights: float32 [B,16].
        """
        squares = squash(photos)
        count, (height, width) = len(photos), photos[0].shape[:2]
        tokens = np.zeros((count, TOKENS), np.int64)
        thresholds = np.tile(np.array(THRESHOLDS, np.float32), (count, 1))
        light = lights[:, np.newaxis]
        alpha = self._run(
            "segment", SEGMENT_PIXELS=squares[0], TOKENS=tokens, TOKEN_MASK=tokens, THRESHOLDS=thresholds
        )["ALPHA"]
        albedo = self._run("albedo", ALBEDO_PIXELS=squares[1])["ALBEDO"]
        aspect = np.full((count, 1), width / height, np.float32)
        shading = self._run("shadow", SHADOW_PIXELS=squares[2], ALPHA=alpha, ASPECT=aspect, LIGHT=light)["SHADING"]
        done = self._run(
            "recombine",
            ORIGINAL=np.stack(photos),
            ALPHA=alpha,
            THRESHOLDS=thresholds,
            ALBEDO=albedo,
            SHADING=shading,
            LIGHT=light,
        )
        pictures = (done["OUTPUT_PIXELS"][:, 0], done["ALBEDO_OUT"], done["MASK"])
        return [dict(zip(PICTURES, row, strict=True)) for row in zip(*pictures, strict=True)]

    def _run(self, name: str, **feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        session = self.sessions[name]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))


def squash(photos: Sequence[Pixels]) -> list[Pixels]:
    """Photos as the networks' square inputs, uint8 [B,3,S,S] for each S of SQUARES."""
    squares = [np.empty((len(photos), 3, side, side), np.uint8) for side in SQUARES]
    for index, photo in enumerate(photos):
        write_squares(photo, [batch[index] for batch in squares])
    return squares


def read_photo(data: bytes) -> Pixels:
    """Decode by OpenCV, the fastest of the libraries that everyone knows; uint8 [H,W,3], sRGB."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("OpenCV cannot read the photo")
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def write_png(pixels: Pixels) -> bytes:
    """Encode uint8 [H,W,3] or [H,W] by OpenCV: twelve times as fast as Pillow's default."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return bytes(cv2.imencode(".png", turned)[1])
