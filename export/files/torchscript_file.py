"""A network → one TorchScript file with a dynamic batch that runs on any device it is loaded to."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.tensors import Contract, Runtime, example_inputs

MODEL = "model.pt"
TRACED_BATCH = 2  # a trace at batch 1 makes the 1 a constant
NUMBERS = (torch.int64, torch.float64)  # the dtypes a trace gives Python's numbers

# Neither is typed. Only the private torch._C can change a trace's graph; pyproject.toml pins torch.
jit: Any = torch.jit
compiler: Any = torch._C
Graph: TypeAlias = Any
Node: TypeAlias = Any


def write(network: nn.Module, contract: Contract, folder: Path) -> None:
    """Trace a network in evaluation mode into `folder`, on the device it is on.

    Raises ExportError: the network makes a tensor on a device of its own choice.
    """
    device = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    inputs = tuple(value.to(device) for value in example_inputs(contract, TRACED_BATCH))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # what the tracer cannot follow is found by comparing at other batches
        traced = jit.trace(network, inputs, check_trace=False)
    # Freezing inlines the sub-modules and folds what depends on no input. Not torch.jit.freeze: that also joins matrix
    # products that share an input, after which answers differ in the last bit.
    frozen = compiler._freeze_module(traced._c, [], True, True)
    graph = frozen._get_method("forward").graph
    follow_the_input(graph)
    keep_numbers_off_the_device(graph)
    if fixed := fixed_devices(graph):
        raise ExportError(
            f"{contract.name}: {fixed[0]} chooses its device itself and would fail on other GPUs; "
            "make the tensor from one of the inputs, e.g. with device=pixels.device."
        )
    frozen.save(str(folder / MODEL))


def follow_the_input(graph: Graph) -> None:
    """Replace every device that is a constant of the trace by the device of the first input."""
    devices = constants(graph, "DeviceObjType")
    if not devices:
        return
    _, first, *_ = graph.inputs()  # the module itself comes before them
    device = graph.create("prim::device", [first], 1)
    device.output().setType(compiler.DeviceObjType.get())
    graph.prependNode(device)
    for constant in devices:
        constant.output().replaceAllUsesWith(device.output())
        constant.destroy()


def keep_numbers_off_the_device(graph: Graph) -> None:
    """Turn each tensor constant that is only a number into that number, made a tensor on the CPU where it is used.

    Loading a file moves its tensor constants to the device. The sizes a trace computes with, and its loops, are on the
    CPU: with a factor on the GPU each would wait for the GPU to finish all its work so far.
    """
    for constant in constants(graph, "TensorType"):
        value = constant.t("value")
        if value.ndim or value.dtype not in NUMBERS:
            continue
        graph.setInsertPoint(constant)
        number = graph.insertNode(graph.create("prim::NumToTensor", [graph.insertConstant(value.item())], 1))
        constant.output().replaceAllUsesWith(number.output())
        constant.destroy()


def fixed_devices(graph: Graph) -> list[str]:
    """The operations that name a device or make a tensor on the default one, whatever device the inputs are on."""
    found = []
    for node in nodes(graph):
        kinds = [value.type().kind() for value in node.inputs()]
        makes = "Device? device" in node.schema() and "TensorType" not in kinds
        if (makes and node.namedInput("device").type().kind() == "NoneType") or (
            node.kind() != "prim::device" and any("Device" in str(value.type()) for value in node.outputs())
        ):
            found.append(f"{node.kind()} ({node.sourceRange().strip().splitlines()[0]})")
    return found


def constants(graph: Graph, kind: str) -> list[Node]:
    """The constants of one type, also in branches and loops."""
    return [node for node in graph.findAllNodes("prim::Constant") if node.output().type().kind() == kind]


def nodes(block: Any) -> Iterator[Node]:
    """All nodes of a graph or block, also in branches and loops."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from nodes(inner)


def target() -> str:
    """Where a file is compared with its network: it answers alike on every device."""
    return "cpu"


def load(folder: Path, contract: Contract, device: str = "cpu") -> Runtime:
    """Open the exported file in PyTorch on "cpu" or "cuda:<n>"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.13 deprecates TorchScript, which Triton's pytorch backend serves
        module = jit.load(str(folder / MODEL), map_location=device)

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # Without the optimiser, which rewrites a graph for the shapes it sees first.
        with torch.inference_mode(), jit.optimized_execution(False):
            answers = module(*(value.to(device) for value in inputs))
        return tuple(answer.cpu() for answer in (answers if isinstance(answers, tuple) else (answers,)))

    return run
