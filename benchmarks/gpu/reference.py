"""What variants are compared with: a network's answers in strict float32, and how far a variant's are from them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.child import Send
from benchmarks.gpu.networks import built, contract_of, parameters
from benchmarks.gpu.results import NetworkFacts
from benchmarks.gpu.runners import Ask, Tensors, as_tuple
from benchmarks.gpu.setting import Setting, prepare_child
from export.check.gate import Measurement, Precision, compare
from export.tensors import Contract, example_inputs

ROWS = 2  # that the network is asked for at a time: float32 takes memory


@torch.no_grad()
def measure_reference(setting: Setting, name: str, send: Send) -> None:
    """Write a network's answers for as many rows as the first batch has, and send its NetworkFacts."""
    prepare_child()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    contract, device = contract_of(name), setting.device
    inputs = example_inputs(contract, setting.batches[0])
    network = built(name, setting.tiny).to(device)
    parts = []
    for rows in zip(*(torch.split(value, ROWS) for value in inputs), strict=True):
        parts.append([answer.cpu() for answer in as_tuple(network(*(value.to(device) for value in rows)))])
    outputs = tuple(torch.cat(part) for part in zip(*parts, strict=True))
    torch.save((inputs, outputs), setting.reference(name))
    row = tuple(value[:1].to(device) for value in inputs)
    send(NetworkFacts(parameters(network), count_flops(network, row)))


def count_flops(network: nn.Module, row: Tensors) -> int:
    """Floating-point operations for one row, each operation counted as it runs; attention unfused, that none hides."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        network(*row)
    return int(counter.get_total_flops())


def compare_with_reference(
    ask: Ask, file: Path, contract: Contract, precision: Precision, device: torch.device
) -> list[Measurement]:
    """What the gate measures of a variant's answers to the reference's inputs; nothing where there is no reference."""
    if not file.exists():
        return []
    inputs, outputs = torch.load(file)
    answers = [answer.cpu() for answer in ask(tuple(value.to(device) for value in inputs))]
    return [
        Measurement(spec.name, len(inputs[0]), measure, value, limit)
        for spec, answer, truth in zip(contract.outputs, answers, outputs, strict=True)
        for measure, value, limit in compare(spec, answer, truth, precision, random_weights=True)
    ]


def worst(found: list[Measurement]) -> dict[str, float]:
    """The values by "OUTPUT measure", but for the count of differing elements."""
    return {f"{one.output} {one.measure}": one.value for one in found if one.measure != "differing"}
