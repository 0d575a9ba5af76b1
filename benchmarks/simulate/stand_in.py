"""Triton's `model.py` of a stand-in: a network's tensors and its time on the GPU, without the network.

An instance belongs to the GPU that its group is named after, and computes by sleeping. The networks of one GPU are
processes of their own, as in the embedded server, and share it as those do: their kernels take turns, so that each
of n networks at work is n times slower, and a little more for the changes from one to the next. Those that the server
gives turns have them here by the same code.
"""

import fcntl
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils
from turns import turns

Arrays = dict[str, npt.NDArray[Any]]
STATE = struct.Struct("dqd")  # seconds that each at work has been served, how many are, and until when this is counted
TURN = 0.005  # seconds until a process looks again whether the GPU has become faster because another has finished


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
        self.gpu = Gpu(Path(parameters["gpus"]) / gpu, float(parameters["sharing"]))
        self.turn = turns(config, gpu, bool)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Take the GPU for as long as the network would take for all rows, then answer each request."""
        batch = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        rows = sum(len(next(iter(arrays.values()))) for arrays in batch)
        work = self.fixed + self.per_image * rows
        with self.turn():
            started = time.time()
            self.gpu.compute(work)
            ended = time.time()
        self.gpu.note({"network": self.network, "rows": rows, "work": work, "started": started, "ended": ended})
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


class Gpu:
    """One GPU as each of its processes sees it, which share a small file of numbers and one of executions."""

    def __init__(self, file: Path, sharing: float) -> None:
        """sharing: speed of the GPU while several networks take turns ÷ its speed for one alone."""
        self._state, self._sharing = file.with_suffix(".state"), sharing
        self._executions = file.with_suffix(".jsonl")

    def compute(self, seconds: float) -> None:
        """Return when the GPU has worked so many seconds for the caller: later where others take turns with it."""
        with self._update(joins=1) as (served, _):
            goal = served + seconds
        while True:
            with self._update() as (served, running):
                left = goal - served
            if left <= 0.0:
                break
            wait = left / self._speed(running)
            time.sleep(wait if running == 1 else min(wait, TURN))
        with self._update(joins=-1):
            pass

    def note(self, execution: dict[str, Any]) -> None:
        """Write an execution as a line of its own."""
        with self._executions.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(execution) + "\n")

    @contextmanager
    def _update(self, joins: int = 0) -> Iterator[tuple[float, int]]:
        """Count the GPU's seconds that each caller at work has been served until now; give these and the callers."""
        with self._state.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content, now = file.read(), time.monotonic()
            served, running, before = STATE.unpack(content) if content else (0.0, 0, now)
            served += (now - before) * self._speed(running)
            file.truncate(0)
            file.write(STATE.pack(served, running + joins, now))
            file.flush()
            yield served, running + joins

    def _speed(self, running: int) -> float:
        """The GPU's seconds that each of `running` callers gets in a second."""
        return 1.0 if running < 2 else self._sharing / running


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
