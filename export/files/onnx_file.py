"""A network → one ONNX file with a dynamic batch; large weights are a file beside it."""

import warnings
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import onnxruntime
import torch
from onnx_ir.passes import common as passes
from onnxscript.optimizer import fold_constants
from torch import Tensor, nn

from export.errors import ExportError
from export.files.version_folder import digest
from export.tensors import Contract, Runtime, example_inputs

MODEL = "model.onnx"
OPSET = 23  # attention is one operator; ONNX Runtime fuses it on the CPU from 1.23, with CUDA from 1.25
TRACED_BATCH = 2  # a trace at batch 1 makes the 1 a constant
EMBEDDED_BYTES = 1_000_000_000  # more weights go into a file of their own: an ONNX file has at most 2 GiB


def write(network: nn.Module, contract: Contract, folder: Path) -> None:
    """Export a network into `folder`; the batch and every −1 of its contract are dynamic."""
    sizes = [(-1, *spec.dims) for spec in contract.inputs]
    shapes = tuple({i: torch.export.Dim.DYNAMIC for i, size in enumerate(dims) if size == -1} for dims in sizes)
    external = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers())) > EMBEDDED_BYTES
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's notes on its own internals
        program = torch.onnx.export(
            network,
            example_inputs(contract, TRACED_BATCH),
            input_names=[spec.name for spec in contract.inputs],
            output_names=[spec.name for spec in contract.outputs],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,  # `tidy` is
            verbose=False,
        )
    assert program is not None  # it is None for the older exporter only
    tidy(program.model)
    keep_narrow_indices(program.model.graph)
    program.save(folder / MODEL, external_data=external)
    if external:
        name_weights_by_content(folder)


def tidy(model: onnx_ir.Model) -> None:
    """Compute what is constant, and keep each value once.

    The exporter's own optimizer goes on to look for operators to fuse, for a quarter of the export's time. ONNX Runtime
    does so whenever it loads a file: what it runs is then the same, but for arithmetic on sizes, and as fast.
    """
    fold_constants(model)
    onnx_ir.passes.Sequential(
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
    )(model)


def keep_narrow_indices(graph: onnx_ir.Graph) -> None:
    """Give GatherElements int32 indices as they are: the exporter widens them to int64, twice the bytes."""
    for node in tuple(graph):
        index = node.inputs[1] if node.op_type == "GatherElements" else None
        cast = index.producer() if index is not None else None
        source = cast.inputs[0] if cast is not None and cast.op_type == "Cast" else None
        if cast is not None and source is not None and source.dtype == onnx_ir.DataType.INT32:
            node.replace_input_with(1, source)
            if not cast.outputs[0].uses():
                graph.remove(cast, safe=True)


def name_weights_by_content(folder: Path) -> None:
    """Rename the weights' file to weights-<digest>.data.

    An export replaces the graph in one step; until then the old weights stay under their own name.
    """
    written = folder / f"{MODEL}.data"
    named = folder / f"weights-{digest(written)[:16]}.data"
    graph = onnx.load(folder / MODEL, load_external_data=False)
    for weight in graph.graph.initializer:
        for entry in weight.external_data:
            if entry.key == "location":
                entry.value = named.name
    onnx.save(graph, folder / MODEL)
    written.rename(named)


def target() -> str:
    """Where a file is compared with its network: it answers alike on every device."""
    return "cpu"


def load(folder: Path, contract: Contract, device: str = "cpu") -> Runtime:
    """Open the exported file in ONNX Runtime on "cpu" or "cuda:<n>".

    Raises ExportError: ONNX Runtime cannot use that GPU; of its own accord it would take the CPU.
    """
    if device != "cpu":
        onnxruntime.preload_dlls()  # torch brings CUDA's libraries
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # An arena keeps all memory that it ever took, a pattern takes it at once: for SAM3 several gigabytes too much.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    session = onnxruntime.InferenceSession(folder / MODEL, options, providers=providers(device))
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise ExportError(
            f"{contract.name}: the installed onnxruntime cannot use {device}: `pip install 'relight-triton[gpu]'`."
        )
    names = [spec.name for spec in contract.outputs]

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        feed = {spec.name: value.numpy() for spec, value in zip(contract.inputs, inputs, strict=True)}
        return tuple(torch.from_numpy(answer) for answer in session.run(names, feed))

    return run


def providers(device: str) -> list[Any]:
    """ONNX Runtime's execution providers for a device."""
    kind, _, number = device.partition(":")
    cuda = [("CUDAExecutionProvider", {"device_id": int(number or 0)})] if kind == "cuda" else []
    return [*cuda, "CPUExecutionProvider"]
