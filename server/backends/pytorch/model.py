"""Triton's `pytorch` backend in Python: serves 1/model.pt where there is no C++ backend (libtorch) of NVIDIA's.

As there, a tensor's name is its own, two underscores and its position in the network's signature: SEGMENT_PIXELS__0.
One process holds one instance.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils
from batches import answer, answer_fitting, join_on_cpu, join_on_gpu, model_file, rows_of, split_on_cpu, split_on_gpu


class TritonPythonModel:
    """One instance of one TorchScript model, on the CPU or on one GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model on the instance's own device.

        Raises pb_utils.TritonModelException: no model.pt or no device, or it does not take the config's tensors.
        """
        config = json.loads(args["model_config"])
        file = model_file(args, "model.pt")
        self.device = device_of(args)
        torch.set_num_threads(threads(self.device))
        self.module = load(file, self.device)
        self.inputs = in_order([tensor["name"] for tensor in config["input"]])
        self.outputs = in_order([tensor["name"] for tensor in config["output"]])
        arguments = [argument.name for argument in self.module.forward.schema.arguments[1:]]
        if len(arguments) != len(self.inputs):
            raise pb_utils.TritonModelException(f"model.pt has the inputs {arguments}, the config says {self.inputs}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch: requests whose tensors agree in shape (batch aside) share one run; empty ones are refused."""
        sizes: dict[str, tuple[int | str, ...]] = dict.fromkeys(self.inputs, ())
        return answer_fitting(requests, sizes, lambda fitting: answer(fitting, self.inputs, self.run))

    def run(self, batch: list[list[Any]]) -> list[Any]:
        """Join the requests' rows, run the model once and split its answer again."""
        positions, rows = range(len(self.inputs)), rows_of(batch)
        if self.device.type == "cpu":
            answers = self.infer([torch.from_numpy(join_on_cpu(batch, position)) for position in positions])
            return split_on_cpu(self.outputs, [joined.numpy() for joined in answers], rows)
        inputs = [join_on_gpu(batch, position, self.device) for position in positions]
        return split_on_gpu(self.outputs, self.infer(inputs), rows, self.device)

    def infer(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Run the model on joined inputs."""
        # Without the optimiser, which rewrites the graph for each new batch size and takes seconds for it.
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            answers = self.module(*inputs)
        answers = list(answers) if isinstance(answers, tuple) else [answers]
        if len(answers) != len(self.outputs):
            raise ValueError(f"model.pt gives {len(answers)} tensors, the config says {self.outputs}")
        return answers


def device_of(args: dict[str, str]) -> torch.device:
    """The device of an instance. Raises pb_utils.TritonModelException: it is a GPU, and torch cannot use one."""
    if args["model_instance_kind"] != "GPU":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise pb_utils.TritonModelException(
            "this instance is to run on a GPU, but the installed torch cannot use one: `pip install torch` for CUDA"
        )
    device = torch.device("cuda", int(args["model_instance_device_id"]))
    torch.cuda.set_device(device)
    return device


def load(file: Path, device: torch.device) -> Any:
    """Load a TorchScript file, its constants too, to a device.

    Raises pb_utils.TritonModelException: it cannot be read.
    """
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript, which Triton still serves
        try:
            return jit.load(str(file), map_location=device)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise pb_utils.TritonModelException(f"{file} cannot be read as TorchScript: {reason}") from error


def threads(device: torch.device) -> int:
    """How many CPU threads an instance uses: half of the cores on a CPU, for another network runs at the same time."""
    return 1 if device.type == "cuda" else max(1, len(os.sched_getaffinity(0)) // 2)


def in_order(names: list[str]) -> list[str]:
    """Sort tensor names by the position they end in.

    Raises pb_utils.TritonModelException: a name does not end in one, or the positions are not 0, 1, 2 …
    """
    by_position = {name.rpartition("__")[2]: name for name in names}
    expected = [str(position) for position in range(len(names))]
    if sorted(by_position) != sorted(expected):
        raise pb_utils.TritonModelException(
            f"the pytorch backend's tensors are named <NAME>__<position>, the config says {names}"
        )
    return [by_position[position] for position in expected]
