"""Triton's `model.py` of a stand-in: a network's tensors and its time on the GPU, without the network.

An instance belongs to the GPU that its group is named after. The networks of one GPU share a file: whoever has locked
it computes, which is to sleep, and writes a line on it. (On a real GPU their kernels interleave: the lock is harder on
short networks, which wait here for a whole batch of a long one.)
"""

import fcntl
import json
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

Arrays = dict[str, npt.NDArray[Any]]


class TritonPythonModel:
    """One instance of one network on one simulated GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters: `gpus` (a folder), and `fixed` and `per_image` in seconds."""
        config = json.loads(args["model_config"])
        parameters = {name: entry["string_value"] for name, entry in config["parameters"].items()}
        self.network = args["model_name"]
        self.inputs, self.outputs = [tensor["name"] for tensor in config["input"]], config["output"]
        self.fixed, self.per_image = float(parameters["fixed"]), float(parameters["per_image"])
        gpu = next(group["name"] for group in config["instance_group"] if group["name"] in args["model_instance_name"])
        self.gpu = Path(parameters["gpus"]) / f"{gpu}.jsonl"

    def execute(self, requests: list[Any]) -> list[Any]:
        """Take the GPU for as long as the network would take for all rows, then answer each request."""
        batch = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        rows = sum(len(next(iter(arrays.values()))) for arrays in batch)
        with self.gpu.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # until the file is closed, its line written
            started = time.time()
            time.sleep(self.fixed + self.per_image * rows)
            line = {"network": self.network, "rows": rows, "started": started, "ended": time.time()}
            file.write(json.dumps(line) + "\n")
        answers = [recombine(arrays) if "ORIGINAL" in arrays else self.constants(arrays) for arrays in batch]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in answer.items()])
            for answer in answers
        ]

    def constants(self, arrays: Arrays) -> Arrays:
        """Every output in its config's shape, full of 0.9 (a score that keeps the photo) or 1; -1 is the pictures."""
        rows, lights = len(next(iter(arrays.values()))), arrays["LIGHT"].shape[1] if "LIGHT" in arrays else 1
        return {
            tensor["name"]: constant(tensor["data_type"], rows, *(lights if n == -1 else n for n in tensor["dims"]))
            for tensor in self.outputs
        }


def recombine(arrays: Arrays) -> Arrays:
    """The photo itself in every role: a constant would be encoded faster than a photo. A copy less for a single one."""
    photos, pictures, planes = arrays["ORIGINAL"], arrays["SCENE"].shape[1], arrays["PLANES"].shape[1]
    albedo = photos[:, np.newaxis] if planes == 1 else np.repeat(photos[:, np.newaxis], planes, axis=1)
    relit = albedo[:, np.newaxis] if pictures == 1 else np.repeat(albedo[:, np.newaxis], pictures, axis=1)
    mask = np.repeat(ellipse(*photos.shape[1:3])[np.newaxis] * np.uint8(255), len(photos), axis=0)
    return {"OUTPUT_PIXELS": relit, "DEGRADED_PIXELS": relit, "ALBEDO_OUT": albedo, "MASK": mask}


@lru_cache(maxsize=16)
def constant(data_type: str, *shape: int) -> npt.NDArray[Any]:
    """A constant tensor of Triton's type, kept for the next request."""
    dtype = np.dtype(pb_utils.triton_string_to_numpy(data_type))
    return np.full(shape, 0.9 if dtype.kind == "f" else 1, dtype)


@lru_cache(maxsize=4)
def ellipse(height: int, width: int) -> npt.NDArray[np.bool_]:
    """A silhouette [height, width], kept for the next request."""
    y, x = np.ogrid[-1.0 : 1.0 : height * 1j, -1.0 : 1.0 : width * 1j]
    return (x / 0.6) ** 2 + (y / 0.8) ** 2 <= 1.0
