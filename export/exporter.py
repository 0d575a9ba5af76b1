"""Exports one network: runs it, casts it, writes its file, compares the file with it, puts the file in place."""

import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from contract.versions import REPORT
from export.check.gate import PRECISIONS, Measurement, Precision, measure, refuse
from export.check.reference import ask
from export.files.formats import Format, file_format
from export.files.version_folder import digest, install, scratch
from export.networks.fp8 import quantise_products
from export.tensors import read_contract

LARGE = 100_000_000  # parameters; a larger network takes half a minute a row on a CPU
# Rows that are kept, and batch sizes that are compared on a CPU, where each row takes long.
ROWS, ROWS_LARGE = 3, 2
CHECKED_BATCHES, CHECKED_BATCHES_LARGE = (1, 3), (1, 2)
COMPILED_BATCHES = (1, 2, 3, 7)  # compiled code has loops for whole vectors and for what is left over


@runtime_checkable
class Castable(Protocol):
    """A network that can compute in half precision, and knows which parts must not."""

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Cast the weights that may be cast, in place."""


@dataclass(frozen=True)
class Candidate:
    """A network to be exported, and what its report says of it."""

    stage: str  # one of contract.names.NETWORKS
    label: str  # the network's name, e.g. "sam3"
    weights: str  # where they come from: a hub id, a file, "random", or "none"
    network: nn.Module  # takes and gives the stage's tensors in the order of its config.pbtxt, each with a batch
    file_format: Format = "onnx"
    precision: Precision = "fp32"  # of a network that has `cast_weights`; others stay in float32
    details: dict[str, Any] = field(default_factory=dict)  # further entries of export.json


def export(candidate: Candidate, folder: Path, say: Callable[[str], None] = lambda text: None) -> list[Measurement]:
    """Write a network's file, its reference and export.json into a version folder: all of them or nothing.

    Args:
        candidate: the network; its weights are freed.
        folder: e.g. model_repository/segment/1.
        say: called with each step, in pieces of a line.

    Raises ExportError: the network does not give what its stage promises, or the file's answers are not the network's.
    """
    contract, network = read_contract(candidate.stage), candidate.network.eval()
    parameters = sum(weight.numel() for weight in network.parameters())
    large = parameters > LARGE
    form = file_format(candidate.file_format)
    with timed(say, "running the network"):
        reference = ask(network, contract, candidate.label, ROWS_LARGE if large else ROWS, once=large)
    precision = cast(network, candidate.precision)
    with scratch(folder) as place:
        with timed(say, "writing the file"):
            form.write(network, contract, place)
        for weight in network.parameters():  # the runtime loads the same weights: one copy is enough
            weight.data = torch.empty(0)
        gc.collect()  # the exporter's graphs hold the weights in cycles
        with timed(say, "comparing"):
            batches = checked_batches(candidate.file_format, form.target(), large, contract.max_batch_size)
            runtime = form.load(place, contract, form.target())
            found = measure(reference, runtime, contract, batches, precision, candidate.weights == "random")
        refuse(contract, found)
        reference.save(place, contract)
        text = {
            "network": candidate.label,
            "weights": candidate.weights,
            "parameters": parameters,
            "format": candidate.file_format,
            "precision": precision,
            "torch": torch.__version__,
            "sha256": digest(place / form.MODEL),
            **candidate.details,
            "batches": list(batches),
            "gate": [{**asdict(one), "passed": one.passed} for one in found],
        }
        (place / REPORT).write_text(json.dumps(text, indent=2) + "\n", "utf-8")
        install(place, folder, form.MODEL)
    return found


def cast(network: nn.Module, precision: Precision) -> Precision:
    """Cast what may be cast of a network, in place; return the precision that it then has."""
    if not isinstance(network, Castable):
        return "fp32"
    network.cast_weights(PRECISIONS[precision])
    if precision == "fp8" and not quantise_products(network):
        return "fp16"
    return precision


def checked_batches(file_format_name: Format, device: str, large: bool, limit: int) -> tuple[int, ...]:
    """The batch sizes to compare at: every one that is served, or a few where the file runs on a CPU."""
    if device != "cpu":
        return tuple(range(1, limit + 1))
    if large:
        return CHECKED_BATCHES_LARGE
    return COMPILED_BATCHES if file_format_name == "aoti" else CHECKED_BATCHES


@contextmanager
def timed(say: Callable[[str], None], what: str) -> Iterator[None]:
    """Say what the block does, and how long it took."""
    say(f", {what}")
    started = time.monotonic()
    yield
    say(f" {time.monotonic() - started:.0f} s")
