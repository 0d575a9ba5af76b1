"""The forms in which a network runs (module, file, compiled, CUDA graph), and what may be changed in it before."""

import gc
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from export.files import torchscript_file
from export.tensors import Contract, example_inputs

Tensors: TypeAlias = tuple[Tensor, ...]
Ask: TypeAlias = Callable[[Tensors], Tensors]
Form: TypeAlias = Callable[[nn.Module, Contract, Path], Ask]  # the last: a folder to write to

TRACED_BATCH = 2  # what is traced at batch 1 takes sizes of 1 for granted
# The classes whose instances do most of the work, many of them alike: compiled one by one, each kind is compiled once.
REPEATED = ["WindowOrderLayer", "Sam3DetrEncoderLayer", "Sam3DetrDecoderLayer"]
REPEATED += ["BasicTransformerBlock", "ResnetBlock2D", "Dinov2Layer"]


class UnavailableError(Exception):
    """The machine lacks what a form needs; the message says what."""


def eager(network: nn.Module, contract: Contract, folder: Path) -> Ask:
    """The module itself."""
    return lambda inputs: as_tuple(network(*inputs))


def torchscript(network: nn.Module, contract: Contract, folder: Path) -> Ask:
    """Our export's file, run as the server's `pytorch` backend runs it."""
    device = device_of(network)
    torchscript_file.write(network, contract, folder)
    release(network)
    module = torchscript_file.jit.load(str(folder / torchscript_file.MODEL), map_location=device)

    def ask(inputs: Tensors) -> Tensors:
        with torchscript_file.jit.optimized_execution(False):
            return as_tuple(module(*inputs))

    return ask


def compiled_whole(network: nn.Module, contract: Contract, folder: Path) -> Ask:
    """torch.compile on all of it, a graph for each batch size, replayed as a CUDA graph (mode reduce-overhead)."""
    need_compiler()
    return anew_per_batch(torch.compile(network, dynamic=False, mode="reduce-overhead"))


def with_compiled_blocks(network: nn.Module, contract: Contract, folder: Path) -> Ask:
    """A network whose blocks were compiled by a change."""
    need_compiler()
    return anew_per_batch(network)


def in_a_graph(form: Form) -> Form:
    """A form as one CUDA graph for each batch size."""
    return lambda network, contract, folder: captured(form(network, contract, folder), device_of(network))


def aot_inductor(network: nn.Module, contract: Contract, folder: Path) -> Ask:
    """torch.export, then a package of compiled code with a dynamic batch, as Triton could serve it."""
    need_compiler()
    device = device_of(network)
    if device.type == "cuda":
        from torch.utils import cpp_extension  # where Inductor looks for CUDA's headers; takes a second

        if cpp_extension.CUDA_HOME is None:
            raise UnavailableError("needs the CUDA toolkit: there is neither nvcc nor CUDA_HOME")
    inputs = tuple(value.to(device) for value in example_inputs(contract, TRACED_BATCH))
    dynamic = torch.export.Dim.DYNAMIC
    shapes = tuple(
        {0: dynamic, **{at + 1: dynamic for at, size in enumerate(spec.dims) if size == -1}} for spec in contract.inputs
    )
    program = torch.export.export(network, inputs, dynamic_shapes=shapes)
    package = torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"))
    del program
    release(network)
    loaded = torch._inductor.aoti_load_package(package)
    return lambda inputs: as_tuple(loaded(*inputs))


def onnx_runtime(network: nn.Module, contract: Contract, folder: Path) -> Ask:
    """Our export's file in ONNX Runtime; tensors enter and leave on the device."""
    try:
        import onnxruntime

        from export.files import onnx_file
    except ImportError as error:
        raise UnavailableError(f"needs onnxruntime and onnx ({error})") from error
    from torch.utils.dlpack import from_dlpack

    device = device_of(network)
    if device.type == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise UnavailableError("needs onnxruntime-gpu: the installed onnxruntime knows no GPU")
    onnx_file.write(network.cpu(), contract, folder)
    release(network)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    place = (device.type, device.index or 0)
    providers = onnx_file.providers(str(torch.device(*place)) if device.type == "cuda" else "cpu")
    session = onnxruntime.InferenceSession(folder / onnx_file.MODEL, options, providers=providers)
    if device.type == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise UnavailableError("needs a CUDA that onnxruntime-gpu was built for: its GPU provider does not start")

    def ask(inputs: Tensors) -> Tensors:
        binding = session.io_binding()
        kept = [value.contiguous() for value in inputs]  # the binding holds addresses alone
        for spec, value in zip(contract.inputs, kept, strict=True):
            element_type = torch.empty(0, dtype=value.dtype).numpy().dtype
            binding.bind_input(spec.name, *place, element_type, tuple(value.shape), value.data_ptr())
        for spec in contract.outputs:
            binding.bind_output(spec.name, *place)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # ONNX Runtime has a stream of its own
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return tuple(from_dlpack(value) for value in binding.get_outputs())

    return ask


def anew_per_batch(module: Callable[..., Any]) -> Ask:
    """Ask a compiled module; at another batch size, forget what was compiled: each size is compiled for itself."""
    torch._dynamo.config.recompile_limit = 64  # kinds of blocks, not sizes of batches, come to that many
    known = [0]

    def ask(inputs: Tensors) -> Tensors:
        if inputs[0].shape[0] != known[0]:
            known[0] = inputs[0].shape[0]
            torch.compiler.reset()
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # torch does not annotate it
        return as_tuple(module(*inputs))

    return ask


def captured(ask: Ask, device: torch.device) -> Ask:
    """Record a call for each batch size and replay it on copies of the inputs; without a GPU a replay is a call."""
    recording: dict[str, Any] = {}

    def record(inputs: Tensors) -> None:
        recording.clear()
        gc.collect()
        own = tuple(value.clone() for value in inputs)
        if device.type == "cpu":
            recording.update(own=own, answers=ask(own), replay=lambda: recording.update(answers=ask(own)))
            return
        torch.cuda.empty_cache()
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not annotate it
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # kernels are chosen and tables are made before anything is recorded
                ask(own)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            answers = ask(own)
        recording.update(own=own, answers=answers, replay=graph.replay)

    def replay(inputs: Tensors) -> Tensors:
        if not recording or recording["own"][0].shape[0] != inputs[0].shape[0]:
            record(inputs)
        for own, value in zip(recording["own"], inputs, strict=True):
            own.copy_(value)
        recording["replay"]()
        return tuple(recording["answers"])

    return replay


def as_tuple(answers: Any) -> Tensors:
    """A network's answers, which may be but one tensor."""
    return tuple(answers) if isinstance(answers, (tuple, list)) else (answers,)


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(network.parameters()).device


def release(network: nn.Module) -> None:
    """Drop the weights of a network that a file has taken the place of."""
    for weight in network.parameters():
        weight.data = weight.new_empty(0)
    gc.collect()


def need_compiler() -> None:
    """Raise UnavailableError unless there is a C++ compiler, which torch.compile needs even for a GPU."""
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        raise UnavailableError("needs a compiler: there is neither g++ nor clang++")


def compile_blocks(network: nn.Module, mode: str | None = None) -> None:
    """Compile the repeated blocks with torch.compile, a graph for each batch size."""
    for kind in REPEATED:
        for block in instances(network, kind):
            block.compile(dynamic=False, mode=mode)


def instances(network: nn.Module, kind: str) -> list[Any]:
    """A network's modules of the class named `kind`."""
    return [module for module in network.modules() if type(module).__name__ == kind]
