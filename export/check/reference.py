"""A network's own answers to example inputs, kept beside the exported file so that it can be verified anywhere."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.tensors import OPTIONAL, RANGES, Contract, TensorSpec, example_inputs

FILE = "reference.npz"


@dataclass(frozen=True)
class Reference:
    """Inputs and a network's answers in float32, in the contract's order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def save(self, folder: Path, contract: Contract) -> None:
        """Write `folder`/reference.npz."""
        names = [spec.name for spec in (*contract.inputs, *contract.outputs)]
        tensors = zip(names, (*self.inputs, *self.outputs), strict=True)
        np.savez_compressed(folder / FILE, **{name: tensor.numpy() for name, tensor in tensors})


def load_reference(folder: Path, contract: Contract) -> Reference:
    """Read the file that `save` wrote. Raises FileNotFoundError."""
    with np.load(folder / FILE) as arrays:
        sides = [[torch.from_numpy(arrays[spec.name]) for spec in side] for side in (contract.inputs, contract.outputs)]
    return Reference(tuple(sides[0]), tuple(sides[1]))


def ask(network: nn.Module, contract: Contract, label: str, rows: int, once: bool = False) -> Reference:
    """Run a network on `rows` example inputs, and check that it keeps its contract.

    Unless `once`, a network that scores instances runs again, with a threshold for each photo that splits its
    instances: else `union` and COUNT might be compared on all or none of them.

    Raises ExportError: it fails, or its outputs have another number, shape, dtype or range than promised.
    """
    reference = answer(network, contract, label, example_inputs(contract, rows, seed=rows))
    if once or not any(spec.name == "SCORE" for spec in contract.outputs):
        return reference
    inputs = {spec.name: value for spec, value in zip(contract.inputs, reference.inputs, strict=True)}
    (scores,) = (value for spec, value in zip(contract.outputs, reference.outputs, strict=True) if spec.name == "SCORE")
    inputs["THRESHOLDS"] = torch.cat((0.8 * scores, inputs["THRESHOLDS"][:, 1:]), dim=1)
    return answer(network, contract, label, tuple(inputs.values()))


def answer(network: nn.Module, contract: Contract, label: str, inputs: tuple[Tensor, ...]) -> Reference:
    """Run a network once and check its outputs. Raises ExportError."""
    rows = inputs[0].shape[0]
    try:
        with torch.no_grad():
            given = network(*inputs)
    except Exception as error:  # a user's network may raise anything
        taken = ", ".join(f"{s.name} {describe(s, rows)}" for s in contract.inputs)
        raise ExportError(f"{label} fails on {contract.name}'s inputs ({taken}): {error}") from error
    outputs = tuple(given) if isinstance(given, tuple | list) else (given,)
    if len(outputs) != len(contract.outputs):
        wanted = f"{len(contract.outputs)}: {', '.join(spec.name for spec in contract.outputs)}"
        raise ExportError(f"{label} gives {len(outputs)} outputs; {contract.name} gives {wanted}.")
    for spec, output in zip(contract.outputs, outputs, strict=True):
        check_output(contract, spec, label, rows, output)
    return Reference(inputs, tuple(output.detach().clone() for output in outputs))


def check_output(contract: Contract, spec: TensorSpec, label: str, rows: int, output: object) -> None:
    """Raise ExportError unless an output has its spec's dtype, dims and range, and is finite or, if OPTIONAL, NaN."""
    wanted = f"{contract.name} needs {describe(spec, rows)}"
    if not isinstance(output, Tensor):
        raise ExportError(f"{label}: output {spec.name} is {type(output).__name__}; {wanted}.")
    sizes = zip(spec.dims, output.shape[1:], strict=False)
    fits = output.ndim == 1 + len(spec.dims) and output.shape[0] == rows and all(a in (-1, b) for a, b in sizes)
    if output.dtype != spec.dtype or not fits:
        raise ExportError(f"{label}: output {spec.name} is {plain(output.dtype)} {list(output.shape)}; {wanted}.")
    if spec.name in OPTIONAL and torch.isnan(output).all():
        return
    if not torch.isfinite(output).all():
        raise ExportError(f"{label}: output {spec.name} is not finite everywhere; {wanted}.")
    low, high = RANGES.get(spec.name, (-float("inf"), float("inf")))
    least, most = output.min().item(), output.max().item()
    if not low - 1e-3 <= least <= most <= high + 1e-3:
        raise ExportError(f"{label}: output {spec.name} reaches from {least:.4g} to {most:.4g}; {wanted}.")


def describe(spec: TensorSpec, rows: int) -> str:
    """A tensor in words, e.g. "float32 [3,1,288,288] in 0–1"."""
    dims = ",".join("any" if size == -1 else str(size) for size in (rows, *spec.dims))
    low, high = RANGES.get(spec.name, (None, None))
    within = "" if low is None else f" in {low:g}–{high:g}" if high != float("inf") else f" of at least {low:g}"
    return f"{plain(spec.dtype)} [{dims}]{within}"


def plain(dtype: torch.dtype) -> str:
    """A dtype's name without its library."""
    return str(dtype).removeprefix("torch.")
