"""A network → one ONNX file with a dynamic batch, compared with the network itself before it is kept."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from export.contract import Contract, TensorSpec, example_inputs

OPSET = 20  # read by ONNX Runtime 1.17 and later, CPU and CUDA
TRACED_BATCH = 2  # a trace at batch 1 bakes the 1 in
CHECKED_BATCHES = (1, 3)
TOLERANCE = 1e-3  # largest difference allowed, relative to the output's largest magnitude
# Outputs that are rounded may differ by rounding: one level of uint8, four steps of float16.
ROUNDING = {torch.uint8: 1.01 / 255, torch.float16: 4 * 2.0**-11}


class ExportMismatchError(Exception):
    """The exported file does not compute what the network computes."""


@dataclass(frozen=True)
class Difference:
    """How far an exported output lies from the network's own, at one batch size."""

    output: str
    batch: int
    largest: float  # largest difference ÷ the output's largest magnitude
    differing: float  # share of the elements that differ by more than the tolerance


def export_onnx(
    network: nn.Module, contract: Contract, label: str, folder: Path, details: Mapping[str, Any] | None = None
) -> list[Difference]:
    """Write `folder`/model.onnx and export.json, both complete or not at all.

    Args:
        network: takes and gives the contract's tensors in its order, each with a leading batch.
        contract: names, dtypes and dims.
        label: the network's name for export.json, e.g. "portrait".
        folder: a version folder of the model repository, e.g. model_repository/segment/1.
        details: further entries for export.json.

    Raises:
        ExportMismatchError: the file's answers differ from the network's beyond TOLERANCE.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network.eval()
    partial = folder / "model.onnx.partial"
    trace(network, contract, partial)
    try:
        differences = compare(network, contract, partial, CHECKED_BATCHES)
        refuse_mismatch(contract, differences)
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
        report = {
            "network": label,
            "precision": "fp32",
            "opset": OPSET,
            "torch": torch.__version__,
            "sha256": digest,
            **(details or {}),
            "differences": [asdict(difference) for difference in differences],
        }
        partial.replace(folder / "model.onnx")
        (folder / "export.json").write_text(json.dumps(report, indent=2) + "\n")
    finally:
        partial.unlink(missing_ok=True)
    return differences


def trace(network: nn.Module, contract: Contract, file: Path) -> None:
    """Export a network with every −1 of its contract, and the batch, dynamic."""
    dynamic = torch.export.Dim.DYNAMIC
    shapes = tuple(
        {0: dynamic, **{i + 1: dynamic for i, size in enumerate(spec.dims) if size == -1}} for spec in contract.inputs
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's notes on its own internals
        torch.onnx.export(
            network,
            example_inputs(contract, TRACED_BATCH),
            file,
            input_names=[spec.name for spec in contract.inputs],
            output_names=[spec.name for spec in contract.outputs],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def compare(network: nn.Module, contract: Contract, file: Path, batches: tuple[int, ...]) -> list[Difference]:
    """Run the file and the network on the same random inputs.

    Raises:
        ExportMismatchError: the network does not give what its contract says.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    differences = []
    for batch in batches:
        inputs = example_inputs(contract, batch, seed=batch)
        with torch.no_grad():
            expected = network(*inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        feed = {spec.name: value.numpy() for spec, value in zip(contract.inputs, inputs, strict=True)}
        answers = session.run([spec.name for spec in contract.outputs], feed)
        for spec, answer, truth in zip(contract.outputs, answers, expected, strict=True):
            check_promise(contract, spec, batch, truth)
            differences.append(difference(spec.name, batch, answer, truth.numpy()))
    return differences


def check_promise(contract: Contract, spec: TensorSpec, batch: int, truth: Tensor) -> None:
    """Raise ExportMismatchError unless `truth` has its spec's dtype and dims and is finite."""
    sizes = zip(spec.dims, truth.shape[1:], strict=False)
    fits = truth.ndim == 1 + len(spec.dims) and truth.shape[0] == batch and all(a in (-1, b) for a, b in sizes)
    if truth.dtype != spec.dtype or not fits:
        raise ExportMismatchError(
            f"{contract.name}: output {spec.name} is {truth.dtype} {list(truth.shape)} at batch {batch}, but "
            f"config.pbtxt says {spec.dtype} {[batch, *spec.dims]}; nothing was written."
        )
    if not torch.isfinite(truth).all():
        raise ExportMismatchError(
            f"{contract.name}: output {spec.name} at batch {batch} is not finite; nothing was written."
        )


def difference(name: str, batch: int, answer: npt.NDArray[Any], truth: npt.NDArray[Any]) -> Difference:
    """Compare one output; a wrong dtype or shape counts as infinitely far."""
    if answer.dtype != truth.dtype or answer.shape != truth.shape:
        return Difference(name, batch, float("inf"), 1.0)
    distance = np.abs(answer.astype(np.float64) - truth.astype(np.float64))
    scale = 255.0 if truth.dtype == np.uint8 else max(float(np.abs(truth.astype(np.float64)).max()), 1e-6)
    relative = distance / scale
    return Difference(name, batch, float(relative.max()), float((relative > TOLERANCE).mean()))


def refuse_mismatch(contract: Contract, differences: list[Difference]) -> None:
    """Raise ExportMismatchError if any output is further from the truth than rounding explains.

    Rounded outputs may differ by ROUNDING in one element of a thousand: two runtimes round x.5 apart.
    """
    step = {spec.name: ROUNDING.get(spec.dtype, TOLERANCE) for spec in contract.outputs}
    for found in differences:
        if not found.largest <= step[found.output] or found.differing > 1e-3:  # `not`: NaN is no match either
            raise ExportMismatchError(
                f"{contract.name}: output {found.output} at batch {found.batch} differs from the network by "
                f"{found.largest:.3g} of its range in {found.differing:.2%} of its elements; nothing was written."
            )
