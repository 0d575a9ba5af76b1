"""One request to the `relight` ensemble and its reply: the tensors, the files, the sentence inside an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from client.rows import RowError

MODEL = "relight"

# What is asked where nobody says otherwise, on the command line and in Python.
URL = "localhost:8001"
PROMPT = "person"
SCORE_THRESHOLD = 0.5
MASK_THRESHOLD = 0.5
TIMEOUT = 300.0  # seconds: a photo of 100 megapixels on a machine without a GPU

# What Triton and its Python backend put around the sentence that a model raised.
_NOISE = re.compile(
    r"^(\[StatusCode\.\w+\]|in ensemble '[^']*',"
    r"|Failed to process the request\(s\) for model (instance )?'[^']*',( message:)?"
    r"|\w*(Error|Exception):)\s*"
)
_TRACE = re.compile(r"\s*\n\s*At:\s*\n.*", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """An answer: each picture's files, one per light or one, and the numbers behind them."""

    pictures: dict[str, list[bytes]]
    info: dict[str, Any]


def text_input(name: str, content: bytes) -> Any:
    """A STRING[1] input, for a batch of one."""
    tensor = triton.InferInput(name, [1, 1], "BYTES")
    return tensor.set_data_from_numpy(np.array([[content]], np.object_))


def number_input(name: str, numbers: NDArray[np.float32]) -> Any:
    """A float32 input; `numbers` has the batch's dimension in front."""
    tensor = triton.InferInput(name, list(numbers.shape), "FP32")
    return tensor.set_data_from_numpy(numbers)


def shared_inputs(thresholds: Sequence[float], files: str) -> list[Any]:
    """The inputs that photos share: `thresholds` are score and mask, each 0-1; `files` what to encode and how."""
    return [number_input("THRESHOLDS", np.array([thresholds], np.float32)), text_input("FILES", files.encode())]


def photo_inputs(image: bytes, prompt: str, light: NDArray[np.float32]) -> list[Any]:
    """The inputs of one photo: its file's bytes, whom to find, and LIGHT float32 [1, K, 16]."""
    text = prompt.encode("utf-8", "replace")
    return [text_input("IMAGE", image), text_input("PROMPT", text), number_input("LIGHT", light)]


def requested_outputs(pictures: Sequence[str]) -> list[Any]:
    """The outputs to send back: the pictures asked for, and INFO."""
    return [triton.InferRequestedOutput(name.upper()) for name in (*pictures, "info")]


def unpack(answer: Any, counts: Mapping[str, int]) -> Reply:
    """The answer's files and INFO; `counts` says how many files each picture must have.

    Raises RowError where the server sent another number of them.
    """
    pictures = {}
    for name, count in counts.items():
        files: list[bytes] = answer.as_numpy(name.upper()).ravel().tolist()
        if len(files) != count or not all(files):
            raise RowError(
                f"the server sent {sum(map(bool, files))} {name} files instead of {count}; "
                "client and server are of different versions"
            )
        pictures[name] = files
    return Reply(pictures, json.loads(answer.as_numpy("INFO").ravel()[0]))


def plain(error: InferenceServerException) -> str:
    """The sentence inside a server's message, without what Triton wraps around it."""
    text = _TRACE.sub("", str(error.message() or error)).strip()
    if "Stub process" in text and "is not healthy" in text:
        return f"a Python process of the server has died ({text}); restart the server"
    while match := _NOISE.match(text):
        text = text[match.end() :]
    return text or f"the server gave no reason ({error.status()})"
