"""The tensors that each model of the ensemble is given for a real photo, and perf_analyzer's input made of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

from benchmarks.perf_analyzer import LIGHT
from benchmarks.sweep.points import ENSEMBLE

Tensors = dict[str, npt.NDArray[Any]]  # by name; each [1,…], strings as objects


@dataclass(frozen=True)
class PhotoTensors:
    """What a photo becomes on its way through the ensemble.

    Attributes:
        inputs: by model, the ensemble included.
        networks: the ensemble's own word on which networks answered (`models` of INFO).
    """

    inputs: dict[str, Tensors]
    networks: dict[str, Any]


def follow_photo(client: triton.InferenceServerClient, photo: bytes, prompt: str) -> PhotoTensors:
    """Send a photo through the ensemble's members one after the other, as its config wires them.

    Raises:
        InferenceServerException: a model refuses, e.g. bytes that are no photo.
    """
    request: Tensors = {
        "IMAGE": np.array([[photo]], dtype=object),
        "PROMPT": np.array([[prompt.encode()]], dtype=object),
        "THRESHOLDS": np.array([[0.5, 0.5]], np.float32),
        "LIGHT": np.array([[LIGHT]], np.float32),
        "FILES": np.array([[b"output,albedo,mask;png"]], dtype=object),
    }
    inputs = {ENSEMBLE: request}
    known = dict(request)
    for step in client.get_model_config(ENSEMBLE).config.ensemble_scheduling.step:
        given = {name: known[tensor] for name, tensor in step.input_map.items()}
        inputs[step.model_name] = given
        answer = client.infer(step.model_name, [to_input(name, array) for name, array in given.items()])
        known.update({tensor: answer.as_numpy(name) for name, tensor in step.output_map.items()})
    return PhotoTensors(inputs, json.loads(known["INFO"].item())["models"])


def to_input(name: str, array: npt.NDArray[Any]) -> triton.InferInput:
    """A request's input."""
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def write_input_data(file: Path, requests: Sequence[Tensors]) -> None:
    """Write requests as perf_analyzer's --input-data; it sends them in turn."""
    data = [{name: element(array[0]) for name, array in request.items()} for request in requests]
    file.write_text(json.dumps({"data": data}))


def element(array: npt.NDArray[Any]) -> dict[str, Any]:
    """One tensor without its batch dimension; b64 holds Triton's own bytes, for strings with a length before each."""
    content = serialize_byte_tensor(array).item() if array.dtype == np.object_ else array.tobytes()
    return {"b64": base64.b64encode(content).decode(), "shape": list(array.shape)}
