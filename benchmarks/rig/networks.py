"""The exported networks in one process, as someone would run them who has the ONNX files, OpenCV and no Triton."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import REPOSITORY
from benchmarks.rig.lights import Light, Tensors, light_tensors
from contract.files import PLANES
from contract.names import NETWORKS

# The networks' inputs must be the very same for pictures to be compared, so everyone scales photos by these lines.
sys.path.insert(0, str(REPOSITORY / "decode" / "1"))

from squares import write_squares

Pixels = NDArray[np.uint8]
PICTURES = ("output", "albedo", "mask")  # what is made of a photo
THRESHOLDS = (0.5, 0.5)  # score, mask
SQUARES = {"SEGMENT_PIXELS": 1008, "ALBEDO_PIXELS": 768, "SHADOW_PIXELS": 518}  # sides, as decode has them
TOKENS = 32


class Networks:
    """Four sessions of ONNX Runtime, which several threads may share."""

    def __init__(self, threads: int) -> None:
        """Load the networks as the embedded server does (server/backends/onnxruntime), each to use so many threads."""
        import onnxruntime  # only here: the benchmarks of a GPU do without it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Four sessions share the cores: one that has nothing to do sleeps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        start = partial(onnxruntime.InferenceSession, sess_options=options, providers=["CPUExecutionProvider"])
        self._sessions = {name: start(str(REPOSITORY / name / "1" / "model.onnx")) for name in NETWORKS}

    def run(self, network: str, known: Tensors) -> Tensors:
        """What one network gives for those of the `known` tensors that it takes."""
        session = self._sessions[network]
        feed = {tensor.name: known[tensor.name] for tensor in session.get_inputs()}
        names = [tensor.name for tensor in session.get_outputs()]
        return dict(zip(names, session.run(names, feed), strict=True))

    def relight(self, photos: Sequence[Pixels], lights: Sequence[Light]) -> list[dict[str, Pixels]]:
        """The PICTURES of each photo; `photos` are uint8 [H,W,3] each, sRGB, all of one size."""
        known = {**squash(photos), **constants(len(photos)), **light_tensors([[light] for light in lights])}
        for network in NETWORKS:
            known.update(self.run(network, known))
        return [dict(zip(PICTURES, row, strict=True)) for row in zip(*pictures(known), strict=True)]


def squash(photos: Sequence[Pixels]) -> Tensors:
    """What decode makes of photos of one size: ORIGINAL, the networks' squares uint8 [B,3,S,S], and ASPECT."""
    squares = {name: np.empty((len(photos), 3, side, side), np.uint8) for name, side in SQUARES.items()}
    for index, photo in enumerate(photos):
        write_squares(photo, [batch[index] for batch in squares.values()])
    height, width = photos[0].shape[:2]
    return {"ORIGINAL": np.stack(photos), **squares, "ASPECT": np.full((len(photos), 1), width / height, np.float32)}


def constants(count: int) -> Tensors:
    """The inputs that are the same for every photo: thresholds, the first prompt, a person, and 8-bit pixels."""
    tokens = np.zeros((count, TOKENS), np.int64)
    thresholds, planes = np.full((count, 2), THRESHOLDS, np.float32), np.array([PLANES[8]] * count, np.int32)
    return {"THRESHOLDS": thresholds, "TOKENS": tokens, "TOKEN_MASK": tokens, "PLANES": planes}


def pictures(known: Tensors) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """PICTURES of a batch, of what `recombine` gives: the first light's output, albedo, mask."""
    return known["OUTPUT_PIXELS"][:, 0, 0], known["ALBEDO_OUT"][:, 0], known["MASK"]


def read_with_opencv(data: bytes) -> Pixels:
    """Decode a photo, uint8 [H,W,3], sRGB. Raises TypeError: OpenCV cannot read it."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def write_with_opencv(pixels: Pixels | NDArray[np.uint16]) -> bytes:
    """Encode uint8 [H,W,3] or [H,W] as `cv2.imwrite` does where nothing is asked for."""
    turned = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    return cv2.imencode(".png", turned)[1].tobytes()
