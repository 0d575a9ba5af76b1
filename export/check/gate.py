"""The gate: an exported file is kept only if its answers are those of its network in float32."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from export.check.reference import Reference
from export.errors import ExportError
from export.tensors import OPTIONAL, Contract, Runtime, TensorSpec

Precision: TypeAlias = Literal["fp32", "fp16", "bf16", "fp8"]
PRECISIONS: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp8": torch.float16,  # but for large matrix products, `export.networks.fp8`
}

TOLERANCE = 1e-3  # largest difference allowed in fp32, relative to the output's largest magnitude
# Outputs that are rounded may differ by rounding: one level of uint8, four steps of float16.
ROUNDING = {torch.uint8: 1.01 / 255, torch.float16: 4 * 2.0**-11}
# These are blended by the rounded mask: one level of it is 1/255 of linear light, near black 12.92 levels of sRGB.
BLENDED = dict.fromkeys(("OUTPUT_PIXELS", "DEGRADED_PIXELS"), 13.01 / 255)
# Half precision is judged by what the pictures lose; each measure has its limit.
MASK_IOU, MASK_IOU_RANDOM = 0.99, 0.98  # masks of random weights are close to the threshold everywhere
COSINE = 0.999
PSNR = {"ALBEDO": 40.0, "SHADING": 35.0, "NORMAL": 25.0, "HEIGHT": 35.0}  # dB
LEEWAY = {"SCORE": 0.02, "BOX": 0.02, "RESIDUAL": 0.02, "COUNT": 0.1}  # in the units of `largest`


@dataclass(frozen=True)
class Measurement:
    """One comparison of an output with the network's own answer, at one batch size."""

    output: str
    batch: int
    measure: str  # largest and differing: at most the limit; mask IoU, cosine and PSNR: at least
    value: float
    limit: float

    @property
    def at_most(self) -> bool:
        """Whether the limit is an upper one."""
        return self.measure in ("largest", "differing")

    @property
    def passed(self) -> bool:
        """Whether the value is within its limit; NaN is not."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        bound = f"at {'most' if self.at_most else 'least'} {self.limit:g}"
        return f"{self.measure} of {self.output} at batch {self.batch} is {self.value:.4g}, must be {bound}"


def measure(
    reference: Reference,
    runtime: Runtime,
    contract: Contract,
    sizes: Iterable[int],
    precision: Precision,
    random_weights: bool,
) -> list[Measurement]:
    """Run a file on a reference's inputs at each batch size, and compare every row.

    A batch smaller than the reference splits it; a larger one, and the last of a split, has rows again, in an order
    without a period: else a batch would look right in which some rows have the answers of others.

    Raises ExportError: the file does not run at a batch size, or a server does not answer.
    """
    found, rows = [], len(reference.inputs[0])
    for size in sizes:
        batches = math.ceil(rows / size)
        again = torch.randint(rows, (batches * size - rows,), generator=torch.Generator().manual_seed(size))
        order = torch.cat((torch.arange(rows), again))
        try:
            parts = [runtime(tuple(value[chosen] for value in reference.inputs)) for chosen in order.chunk(batches)]
        except Exception as error:  # each runtime raises types of its own
            raise ExportError(f"{contract.name}: the file does not run at batch {size}: {error}") from error
        for position, (spec, truth) in enumerate(zip(contract.outputs, reference.outputs, strict=True)):
            answer = torch.cat([part[position] for part in parts])
            values = compare(spec, answer, truth[order], precision, random_weights)
            found += [Measurement(spec.name, size, *value) for value in values]
    return found


def compare(
    spec: TensorSpec, answer: Tensor, truth: Tensor, precision: Precision, random_weights: bool
) -> list[tuple[str, float, float]]:
    """Compare an output with the truth: (measure, value, limit) of each measure that applies to it."""
    if answer.dtype != truth.dtype or answer.shape != truth.shape:
        return [("largest", float("inf"), 0.0)]
    if spec.name in OPTIONAL and torch.isnan(truth).all():
        return [("differing", (~torch.isnan(answer)).double().mean().item(), 0.0)]
    scale = 255.0 if truth.dtype == torch.uint8 else max(truth.double().abs().max().item(), 1e-6)
    distance = (answer.double() - truth.double()).abs() / scale
    values: list[tuple[str, float, float]] = []
    if spec.name == "ALPHA":
        values.append(("mask IoU", mask_iou(answer, truth), MASK_IOU_RANDOM if random_weights else MASK_IOU))
        ours, theirs = answer.double().flatten(1), truth.double().flatten(1)
        empty = (ours == 0.0).all(1) & (theirs == 0.0).all(1)  # nobody was found: nothing agrees with nothing
        rows = torch.nn.functional.cosine_similarity(ours, theirs).masked_fill(empty, 1.0)
        values.append(("cosine", rows.min().item(), COSINE))
    elif spec.name in PSNR:
        values.append(("PSNR", psnr(distance), PSNR[spec.name]))
    elif precision != "fp32":
        values.append(("largest", distance.max().item(), LEEWAY.get(spec.name, TOLERANCE)))
    if precision == "fp32":
        # Rounded outputs may differ by ROUNDING in one element of a thousand: two runtimes round x.5 differently.
        limit = BLENDED.get(spec.name, ROUNDING.get(spec.dtype, TOLERANCE))
        values.append(("largest", distance.max().item(), limit))
        values.append(("differing", (~(distance <= TOLERANCE)).double().mean().item(), 1e-3))
    return values


def mask_iou(answer: Tensor, truth: Tensor) -> float:
    """Mean over the rows of intersection ÷ union of the masks where probabilities [B,1,S,S] exceed 0.5."""
    ours, theirs = (answer > 0.5).flatten(1), (truth > 0.5).flatten(1)
    union = (ours | theirs).sum(1)
    overlap = torch.where(union > 0, (ours & theirs).sum(1) / union.clamp(min=1), 1.0)
    return overlap.mean().item()


def psnr(distance: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of differences relative to the peak; the worst row's, at most 200."""
    error = distance.square().flatten(1).mean(1).max().item()
    return -10.0 * torch.log10(torch.tensor(error).clamp(min=1e-20)).item()


def refuse(contract: Contract, measurements: list[Measurement]) -> None:
    """Raise ExportError with the first measurement that did not pass, if any."""
    for found in measurements:
        if not found.passed:
            sentence = f"{contract.name}: the file does not compute what the network computes: {found}"
            raise ExportError(f"{sentence}; nothing was written.")
