"""Triton's `onnxruntime` backend in Python: serves 1/model.onnx where NVIDIA's C++ backend is not at hand.

Triton takes a backend from <backend-directory>/onnxruntime/model.py when no libtriton_onnxruntime.so is beside it, so
the same config.pbtxt is served by this file here and by the C++ backend in NVIDIA's container. One process holds one
instance.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One instance of one ONNX model, on the CPU or on one GPU."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Leave the config as it is written: it is complete."""
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model on the instance's own device.

        Raises:
            pb_utils.TritonModelException: no model.onnx, or it does not have the config's tensors.
        """
        config = json.loads(args["model_config"])
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        if not file.exists():
            raise pb_utils.TritonModelException(
                f"{file} is missing: export the networks first, `python -m export --preset classical`"
            )
        on_gpu = args["model_instance_kind"] == "GPU"
        device_id = int(args["model_instance_device_id"])
        self.device = ("cuda", device_id) if on_gpu else ("cpu", 0)
        self.session = onnxruntime.InferenceSession(
            str(file), session_options(), providers=providers(on_gpu, device_id)
        )
        if on_gpu and "CUDAExecutionProvider" not in self.session.get_providers():
            raise pb_utils.TritonModelException(
                "this instance is to run on a GPU, but the installed onnxruntime has no working CUDA provider: "
                "`pip install 'relight-triton[gpu]'`"
            )
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        check_names(config, self.session)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch: requests whose tensors agree in shape (batch aside) share one run."""
        groups: dict[tuple[tuple[int, ...], ...], list[int]] = defaultdict(list)
        tensors = [[pb_utils.get_input_tensor_by_name(request, name) for name in self.inputs] for request in requests]
        for index, inputs in enumerate(tensors):
            groups[tuple(tuple(tensor.shape()[1:]) for tensor in inputs)].append(index)
        responses: list[Any] = [None] * len(requests)
        for members in groups.values():
            for index, response in zip(members, self.run_or_split([tensors[i] for i in members]), strict=True):
                responses[index] = response
        return responses

    def run_or_split(self, batch: list[list[Any]]) -> list[Any]:
        """Run requests together; if that fails, one by one, so that only the one at fault is refused."""
        try:
            return self.run(batch)
        except Exception as error:  # ONNX Runtime raises a type of its own per kind of fault, without a common base
            if len(batch) == 1:
                return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))]
            return [self.run_or_split([inputs])[0] for inputs in batch]

    def run(self, batch: list[list[Any]]) -> list[Any]:
        """Join the requests' rows, run the model once and split its answer again."""
        rows = [inputs[0].shape()[0] for inputs in batch]
        if self.device[0] == "cpu":
            feed = {name: join([inputs[i].as_numpy() for inputs in batch]) for i, name in enumerate(self.inputs)}
            answers = self.session.run(self.outputs, feed)
            return split_on_cpu(self.outputs, answers, rows)
        return self.run_on_gpu(batch, rows)

    def run_on_gpu(self, batch: list[list[Any]], rows: list[int]) -> list[Any]:
        """Join, run and split on the instance's GPU; tensors enter and leave by DLPack, without touching the CPU."""
        import torch.utils.dlpack  # only here: on the CPU the server does without it

        device = torch.device(*self.device)
        binding = self.session.io_binding()
        kept = []  # joined tensors must outlive the run
        for position, name in enumerate(self.inputs):
            parts = [torch.utils.dlpack.from_dlpack(inputs[position].to_dlpack()).to(device) for inputs in batch]
            joined = (torch.cat(parts) if len(parts) > 1 else parts[0]).contiguous()
            kept.append(joined)
            element_type = ELEMENT_TYPES[str(joined.dtype)]
            binding.bind_input(name, *self.device, element_type, tuple(joined.shape), joined.data_ptr())
        for name in self.outputs:
            binding.bind_output(name, *self.device)
        # ONNX Runtime has a stream of its own: what torch and Triton queued must be done before it, and its work after.
        synchronise(device)
        self.session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        answers = [torch.utils.dlpack.from_dlpack(value) for value in binding.get_outputs()]
        pieces = [[piece.contiguous() for piece in torch.split(answer, rows)] for answer in answers]
        synchronise(device)
        return [
            pb_utils.InferenceResponse(
                [
                    pb_utils.Tensor.from_dlpack(name, parts[index].__dlpack__())
                    for name, parts in zip(self.outputs, pieces, strict=True)
                ]
            )
            for index in range(len(rows))
        ]


def synchronise(device: Any) -> None:
    """Wait for all work queued on a torch.device; a CPU has none."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


ELEMENT_TYPES = {
    "torch.uint8": np.uint8,
    "torch.int32": np.int32,
    "torch.int64": np.int64,
    "torch.float16": np.float16,
    "torch.float32": np.float32,
}


def session_options() -> onnxruntime.SessionOptions:
    """Options for many sessions sharing one machine: idle threads sleep, and warnings stay out of the log."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def providers(on_gpu: bool, device_id: int) -> list[Any]:
    """The execution providers of an instance, in order of preference."""
    if not on_gpu:
        return ["CPUExecutionProvider"]
    # kSameAsRequested: the arena grows by what a batch needs, not by doubling, and leaves room for other networks.
    cuda = {"device_id": device_id, "arena_extend_strategy": "kSameAsRequested"}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def check_names(config: dict[str, Any], session: onnxruntime.InferenceSession) -> None:
    """Refuse a model whose tensors are not the config's.

    Raises:
        pb_utils.TritonModelException: naming what is missing or too much.
    """
    for kind, found in (("input", session.get_inputs()), ("output", session.get_outputs())):
        expected = {tensor["name"] for tensor in config[kind]}
        present = {tensor.name for tensor in found}
        if expected != present:
            raise pb_utils.TritonModelException(
                f"model.onnx has the {kind}s {sorted(present)}, config.pbtxt says {sorted(expected)}"
            )


def join(parts: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate along the batch; a single part is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def split_on_cpu(names: list[str], answers: list[npt.NDArray[Any]], rows: list[int]) -> list[Any]:
    """Cut the joined answers into one response per request."""
    ends = np.cumsum(rows)
    return [
        pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, answer[end - count : end]) for name, answer in zip(names, answers, strict=True)]
        )
        for count, end in zip(rows, ends, strict=True)
    ]
