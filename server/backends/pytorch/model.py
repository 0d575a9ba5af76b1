"""Triton's `pytorch` backend in Python, where there is no C++ backend (libtorch) of NVIDIA's.

It serves 1/model.pt2, which AOTInductor compiled for this machine's chip, or else 1/model.pt, TorchScript.
As there, a tensor's name is its own, two underscores and its position in the network's signature: SEGMENT_PIXELS__0.
One process holds one instance.
"""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
import triton_python_backend_utils as pb_utils
from batches import answer, answer_fitting, model_file
from memory import Joined, Memory, says_so
from turns import turns

# The names of a file's inputs, and what runs it.
Loaded: TypeAlias = tuple[list[str], Callable[[list[torch.Tensor]], list[torch.Tensor]]]


class TritonPythonModel:
    """One instance of one model, on the CPU or on one GPU."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model on the instance's own device.

        Raises pb_utils.TritonModelException: no model or no device, or it does not take the config's tensors.
        """
        config = json.loads(args["model_config"])
        self.device = device_of(args)
        torch.set_num_threads(threads(self.device))
        self.inputs = in_order([tensor["name"] for tensor in config["input"]])
        self.outputs = in_order([tensor["name"] for tensor in config["output"]])
        self.failed_allocations = failed_allocations(self.device)
        self.memory = Memory(args, self.infer, torch.cuda.empty_cache, self.ran_out)  # a CPU has no such cache
        self.turn = turns(config, str(self.device.index), self.finish)
        package = Path(args["model_repository"]) / args["model_version"] / "model.pt2"
        if package.exists():
            arguments, self.network = load_package(package, self.device, config["max_batch_size"])
        else:
            arguments, self.network = load_script(model_file(args, "model.pt"), self.device)
        if len(arguments) != len(self.inputs):
            file = package.name if package.exists() else "model.pt"
            raise pb_utils.TritonModelException(f"{file} has the inputs {arguments}, the config says {self.inputs}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch: requests whose tensors agree in shape (batch aside) share one run; empty ones are refused."""
        sizes: dict[str, tuple[int | str, ...]] = dict.fromkeys(self.inputs, ())
        device = None if self.device.type == "cpu" else self.device
        return answer_fitting(
            requests, sizes, lambda fitting: answer(fitting, self.inputs, self.outputs, self.memory.run, device)
        )

    def infer(self, inputs: Joined) -> Joined:
        """Run the model on joined inputs, arrays on the CPU or tensors on the GPU; give its outputs alike."""
        on_cpu = self.device.type == "cpu"
        with torch.inference_mode(), self.turn():
            # A list of its own, which AOTInductor's packages empty.
            answers = self.network([torch.from_numpy(tensor) if on_cpu else tensor for tensor in inputs])
        if len(answers) != len(self.outputs):
            raise ValueError(f"the network gives {len(answers)} tensors, the config says {self.outputs}")
        return [tensor.numpy() for tensor in answers] if on_cpu else answers

    def ran_out(self, error: Exception) -> bool:
        """Whether an error means that memory ran out: AOTInductor's packages do not say so, the allocator counts."""
        before, self.failed_allocations = self.failed_allocations, failed_allocations(self.device)
        return says_so(error) or self.failed_allocations > before

    def finish(self) -> None:
        """Wait until the GPU has run what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


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


def load_script(file: Path, device: torch.device) -> Loaded:
    """Load a TorchScript file, its constants too, to a device.

    Raises pb_utils.TritonModelException: it cannot be read.
    """
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript, which Triton still serves
        try:
            module = jit.load(str(file), map_location=device)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise pb_utils.TritonModelException(f"{file} cannot be read as TorchScript: {reason}") from error

    def run(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        # Without the optimiser, which rewrites the graph for each new batch size and takes seconds for it.
        with jit.optimized_execution(False):
            answers = module(*inputs)
        return list(answers) if isinstance(answers, tuple) else [answers]

    return [argument.name for argument in module.forward.schema.arguments[1:]], run


def load_package(file: Path, device: torch.device, max_batch_size: int) -> Loaded:
    """Load an AOTInductor package to the device it was compiled for.

    Raises pb_utils.TritonModelException: it cannot be read, or was compiled for another chip, torch or smaller batches.
    """
    loader: Any = torch._C._aoti.AOTIModelPackageLoader
    try:
        notes = loader.load_metadata_from_package(str(file), "model")
        wanted = mismatch(notes, device, max_batch_size)
        package = None if wanted else loader(str(file), "model", True, 1, -1 if device.index is None else device.index)
    except (RuntimeError, KeyError) as error:  # KeyError: it is not one of ours, and says too little of itself
        reason = str(error).strip().splitlines()[0]
        raise pb_utils.TritonModelException(f"{file} cannot be read as an AOTInductor package: {reason}") from error
    if package is None:
        raise pb_utils.TritonModelException(f"{file} was compiled for {wanted}.")
    return notes["inputs"].split(), package.boxed_run


def mismatch(notes: dict[str, str], device: torch.device, max_batch_size: int) -> str:
    """What a package was compiled for, and what to do, where that is not what it is to run on; empty where it is."""
    again = "export the network again on this machine"
    if notes["torch"] != torch.__version__:
        return f"torch {notes['torch']}, and this machine has {torch.__version__}: {again}"
    if notes["AOTI_DEVICE_KEY"] != device.type:
        kind = notes["AOTI_DEVICE_KEY"]
        return f"{kind}, and its config asks for {device.type}: {again}, for a CPU with CUDA_VISIBLE_DEVICES="
    if int(notes["max_batch_size"]) < max_batch_size:
        return (
            f"batches of up to {notes['max_batch_size']}, and its config allows {max_batch_size}: serve with "
            f"--max-batch {notes['max_batch_size']}, or raise max_batch_size in config.pbtxt and {again}"
        )
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        here, there = f"{major}{minor}", notes["AOTI_COMPUTE_CAPABILITY"]
        return "" if here == there else f"compute capability {there}, and this GPU has {here}: {again}"
    flags = Path("/proc/cpuinfo").read_text("utf-8").partition("flags")[2].partition("\n")[0].lower().split()
    lacking = [word for word in notes["AOTI_CPU_ISA"].lower().split() if not any(one.startswith(word) for one in flags)]
    return f"a CPU with {', '.join(lacking)}, and this one lacks them: {again}" if lacking else ""


def failed_allocations(device: torch.device) -> int:
    """How often PyTorch's allocator found no memory on a GPU so far; 0 on the CPU, where it does not count."""
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0)) if device.type == "cuda" else 0


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
