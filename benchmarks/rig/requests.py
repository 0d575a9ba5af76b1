"""Requests to the ensemble: as tensors, as tritonclient's inputs, and as perf_analyzer's input file."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

from benchmarks.rig.lights import Light, Tensors, light_tensors
from benchmarks.rig.networks import PICTURES, THRESHOLDS

PROMPT = "person"
FILES = f"{','.join(PICTURES)};png"  # the client's own default


def ask_for(photo: bytes, lights: Sequence[Light], prompt: str = PROMPT, files: str = FILES) -> Tensors:
    """The ensemble's inputs for one photo: its file's bytes, K lights, whom to cut out, what to encode and how."""
    texts = {"IMAGE": photo, "PROMPT": prompt.encode(), "FILES": files.encode()}
    return {
        **{name: np.array([[text]], object) for name, text in texts.items()},
        "THRESHOLDS": np.array([THRESHOLDS], np.float32),
        **light_tensors([lights]),
    }


def to_inputs(tensors: Tensors) -> list[triton.InferInput]:
    """A request's inputs."""
    inputs = []
    for name, array in tensors.items():
        inputs.append(triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    return inputs


def write_input_data(file: Path, requests: Sequence[Tensors]) -> Path:
    """Write requests as perf_analyzer's --input-data; it sends them in turn."""
    data = [{name: _element(array[0]) for name, array in request.items()} for request in requests]
    file.write_text(json.dumps({"data": data}))
    return file


def _element(array: NDArray[Any]) -> dict[str, Any]:
    """One tensor without its batch dimension; b64 holds Triton's own bytes, for strings with a length before each."""
    content = serialize_byte_tensor(array).item() if array.dtype == np.object_ else array.tobytes()
    return {"b64": base64.b64encode(content).decode(), "shape": list(array.shape)}
