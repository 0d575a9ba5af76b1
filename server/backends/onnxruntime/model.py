"""Triton's `onnxruntime` backend in Python: serves 1/model.onnx where there is no C++ backend of NVIDIA's.

Triton takes a backend from <backend-directory>/onnxruntime/model.py when no libtriton_onnxruntime.so is beside it, so
the same config.pbtxt is served by this file here and by the C++ backend in NVIDIA's container. One process holds one
instance.
"""

import importlib
import json
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import triton_python_backend_utils as pb_utils
from batches import answer, answer_fitting, failure, model_file
from memory import Joined, Memory, says_so
from turns import turns

Arrays = list[npt.NDArray[Any]]

SMALL_BYTES = 100_000_000  # of a network's file with its weights
LARGE_ANSWER = 64_000_000  # bytes: about sixty lights' shading


class TritonPythonModel:
    """One instance of one ONNX model, on the CPU or on one GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model on the instance's own device.

        Raises pb_utils.TritonModelException: no model.onnx, or it does not have the config's tensors.
        """
        config = json.loads(args["model_config"])
        file = model_file(args, "model.onnx")
        on_gpu = args["model_instance_kind"] == "GPU"
        device_id = int(args["model_instance_device_id"])
        self.device = ("cuda", device_id) if on_gpu else ("cpu", 0)
        self.turn = turns(config, str(device_id), bool)  # a run ends when the GPU has done it
        self.pool = None
        if not on_gpu and weight_bytes(file) < SMALL_BYTES:
            self.pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
        if on_gpu:
            load_cuda()
        options = session_options(threads=1 if self.pool else 0)
        self.session = onnxruntime.InferenceSession(str(file), options, providers=providers(on_gpu, device_id))
        if on_gpu and "CUDAExecutionProvider" not in self.session.get_providers():
            raise pb_utils.TritonModelException(
                "this instance is to run on a GPU, but the installed onnxruntime has no working CUDA provider: "
                "`pip install 'relight-triton[gpu]'`"
            )
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]
        self.was_large = False  # whether the memory of the last run is worth giving back
        self.shrinking = onnxruntime.RunOptions()
        arena = f"gpu:{device_id}" if on_gpu else "cpu:0"
        self.shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", arena)
        self.memory = Memory(args, self.run_on_gpu if on_gpu else self.run_joined, self.release)
        self.symbols = {tensor.name: tuple(tensor.shape) for tensor in self.session.get_inputs()}
        check_names(config, self.session)

    def finalize(self) -> None:
        """Called once, before the model is unloaded."""
        if self.pool:
            self.pool.shutdown()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch; what does not fit the network is refused, each request on its own."""
        return answer_fitting(requests, self.symbols, self.execute_fitting)

    def execute_fitting(self, requests: list[Any]) -> list[Any]:
        """Answer a batch: requests whose tensors agree in shape (batch aside) share one run.

        Small networks on a CPU are different: each row runs alone, on one thread, beside the others. A row's tensors
        fit into the caches, which a batch's do not, no thread waits for another, and nothing is joined or split. Where
        memory did not hold a row beside the others, its request is tried again when they have ended.
        """
        if self.pool is None:
            return self.answer_together(requests)
        batch = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
            for request in requests
        ]
        answers = [[self.pool.submit(self.run_row, inputs, row) for row in range(len(inputs[0]))] for inputs in batch]
        wait(chain(*answers))
        return [
            self.answer_together([request])[0] if any(map(ran_out, rows)) else self.respond(rows)
            for request, rows in zip(requests, answers, strict=True)
        ]

    def answer_together(self, requests: list[Any]) -> list[Any]:
        """Answer a batch by joining its rows."""
        device = None
        if self.device[0] == "cuda":
            import torch  # only here: on the CPU the server does without it

            device = torch.device(*self.device)
        return answer(requests, self.inputs, self.outputs, self.memory.run, device)

    def run_row(self, inputs: Arrays, row: int) -> Arrays:
        """The model's answer to one row of a request."""
        feed = {name: array[row : row + 1] for name, array in zip(self.inputs, inputs, strict=True)}
        return self.run_on_cpu(feed)

    def run_on_cpu(self, feed: dict[str, Any]) -> Arrays:
        """The model's answer; a run after a large answer gives back what ONNX Runtime has kept of that one's memory.

        Otherwise one request with many lights would take gigabytes for good. Giving back after each run would slow it.
        """
        options, self.was_large = self.shrinking if self.was_large else None, False
        answers: Arrays = self.session.run(self.outputs, feed, options)
        self.was_large = self.was_large or sum(answer.nbytes for answer in answers) > LARGE_ANSWER
        return answers

    def respond(self, rows: "list[Future[Arrays]]") -> Any:
        """The response to a request from the answers to its rows."""
        try:
            answers = [row.result() for row in rows]
        except Exception as error:  # runtimes raise types of their own per kind of fault, without a common base
            return pb_utils.InferenceResponse(error=failure(error))
        joined = answers[0] if len(answers) == 1 else [np.concatenate(parts) for parts in zip(*answers, strict=True)]
        tensors = [pb_utils.Tensor(name, array) for name, array in zip(self.outputs, joined, strict=True)]
        return pb_utils.InferenceResponse(tensors)

    def run_joined(self, inputs: Joined) -> Joined:
        """The model's answer to joined inputs on the CPU."""
        return self.run_on_cpu(dict(zip(self.inputs, inputs, strict=True)))

    def run_on_gpu(self, inputs: Joined) -> Joined:
        """The model's answer to joined tensors on the instance's GPU, where it stays."""
        import torch.utils.dlpack

        binding = self.session.io_binding()
        for name, tensor in zip(self.inputs, inputs, strict=True):
            element_type = getattr(np, str(tensor.dtype).removeprefix("torch."))
            binding.bind_input(name, *self.device, element_type, tuple(tensor.shape), tensor.data_ptr())
        for name in self.outputs:
            binding.bind_output(name, *self.device)
        # ONNX Runtime has a stream of its own: what torch and Triton queued must be done before it, and its work after.
        torch.cuda.synchronize(torch.device(*self.device))
        options, self.was_large = self.shrinking if self.was_large else None, False
        with self.turn():
            self.session.run_with_iobinding(binding, options)
            binding.synchronize_outputs()
        return [torch.utils.dlpack.from_dlpack(value) for value in binding.get_outputs()]

    def release(self) -> None:
        """Let the next run give back what ONNX Runtime keeps of failed ones, and PyTorch what it keeps on the GPU."""
        self.was_large = True
        if self.device[0] == "cuda":
            import torch

            torch.cuda.empty_cache()


def ran_out(row: "Future[Arrays]") -> bool:
    """Whether memory ran out for a row that has ended."""
    error = row.exception()
    return isinstance(error, Exception) and says_so(error)


def weight_bytes(file: Path) -> int:
    """Size of a network's file, and of the files beside it that hold its weights if it is large."""
    return file.stat().st_size + sum(beside.stat().st_size for beside in file.parent.glob("*.data"))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options for many sessions sharing one machine: idle threads sleep, and warnings stay out of the log.

    threads: that share the work of one run; 0 for one per core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def load_cuda() -> None:
    """Load the libraries of CUDA and cuDNN that came with PyTorch: ONNX Runtime looks for those of the system alone."""
    importlib.import_module("torch")
    onnxruntime.preload_dlls()


def providers(on_gpu: bool, device_id: int) -> list[Any]:
    """The execution providers of an instance, in order of preference."""
    if not on_gpu:
        return ["CPUExecutionProvider"]
    # kSameAsRequested: the arena grows by what a batch needs, not by doubling, and leaves room for other networks.
    # HEURISTIC: ONNX Runtime would try every algorithm of a convolution for each batch size and each size of a photo.
    cuda = {
        "device_id": device_id,
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def check_names(config: dict[str, Any], session: onnxruntime.InferenceSession) -> None:
    """Refuse a model whose tensors are not the config's.

    Raises pb_utils.TritonModelException: naming what is missing or too much.
    """
    for kind, found in (("input", session.get_inputs()), ("output", session.get_outputs())):
        expected = {tensor["name"] for tensor in config[kind]}
        present = {tensor.name for tensor in found}
        if expected != present:
            raise pb_utils.TritonModelException(
                f"model.onnx has the {kind}s {sorted(present)}, config.pbtxt says {sorted(expected)}"
            )
