"""The forms in which a network runs: the module itself, or a file of our export, opened as the server opens it."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend

from export.errors import ExportError
from export.exporter import cast
from export.files import aoti_file, torchscript_file
from export.networks.fp8 import multiplied_here
from export.tensors import Contract, Runtime, example_inputs


class UnavailableError(Exception):
    """The machine lacks what a form needs; the message says what."""


@dataclass(frozen=True)
class Form:
    """A kind of file."""

    model: str  # the file's name
    write: Callable[[nn.Module, Contract, Path], None]  # into a folder
    open: Callable[[Path, torch.device], Runtime]  # tensors enter and leave on the device
    served: bool = True  # whether the server takes the file


def open_torchscript(folder: Path, device: torch.device) -> Runtime:
    """A TorchScript file, run as the server's `pytorch` backend runs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        module = torchscript_file.jit.load(str(folder / torchscript_file.MODEL), map_location=device)

    def ask(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        with torchscript_file.jit.optimized_execution(False):
            return as_tuple(module(*inputs))

    return ask


def write_compiled(network: nn.Module, contract: Contract, folder: Path) -> None:
    """AOTInductor's package with a dynamic batch, as `python -m export --format aoti` writes it."""
    require_compiler()
    aoti_file.write(network, contract, folder)


def write_compiled_fixed(network: nn.Module, contract: Contract, folder: Path) -> None:
    """The same for batches of the contract's largest size alone."""
    require_compiler()
    inputs = tuple(value.to(device_of(network)) for value in example_inputs(contract, contract.max_batch_size))
    with aoti_file.tracing(device_of(network)):
        program = torch.export.export(network, inputs, strict=False)
    aoti_file.compile_package(program, folder / aoti_file.MODEL, aoti_file.describe(contract, "fixed batch"))


def write_compiled_with_flash(network: nn.Module, contract: Contract, folder: Path) -> None:
    """The package with FlashAttention where it otherwise has cuDNN's; for a process of its own.

    Raises UnavailableError: there is no GPU.
    """
    if device_of(network).type == "cpu":
        raise UnavailableError("needs a GPU: a CPU has no cuDNN, and the package would be the same")
    aoti_file.ATTENTION.remove(SDPBackend.CUDNN_ATTENTION)
    write_compiled(network, contract, folder)


TORCHSCRIPT = Form(torchscript_file.MODEL, torchscript_file.write, open_torchscript)
AOTI = Form(aoti_file.MODEL, write_compiled, aoti_file.open_package)
AOTI_FLASH = Form(aoti_file.MODEL, write_compiled_with_flash, aoti_file.open_package)
AOTI_FIXED = Form(aoti_file.MODEL, write_compiled_fixed, aoti_file.open_package, served=False)


def require_compiler() -> None:
    """Raise UnavailableError unless the machine can compile packages."""
    try:
        aoti_file.require_tools(torch.device(aoti_file.target()))
    except ExportError as error:
        raise UnavailableError(str(error)) from error


def cast_to(network: nn.Module, precision: Any) -> None:
    """Cast what may be cast of a network, in place. Raises UnavailableError: 8-bit products need a Hopper GPU."""
    if precision == "fp8" and not multiplied_here():
        raise UnavailableError("needs a GPU that multiplies 8-bit numbers: Hopper or newer")
    cast(network, precision)


def eager(network: nn.Module) -> Runtime:
    """The module itself."""
    return lambda inputs: as_tuple(network(*inputs))


def as_tuple(answers: Any) -> tuple[torch.Tensor, ...]:
    """A network's answers, which may be but one tensor."""
    return tuple(answers) if isinstance(answers, (tuple, list)) else (answers,)


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(network.parameters()).device
