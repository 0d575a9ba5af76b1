"""What is measured: the networks and their inputs, the variants of each (precision and form), and the order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from benchmarks.gpu import forms
from benchmarks.rig.report import BenchmarkError, read_toml
from export.check.gate import Precision
from export.networks.pattern_bank import PatternBank
from export.networks.presets import PRESETS, Options, build
from export.tensors import Contract, example_inputs, read_contract

TINY_SIDE = 48  # of Marigold in a dry run
Draw = Callable[[int], tuple[Tensor, ...]]  # a network's inputs for a batch of so many rows
POOL = 32  # rows that lights, masks and prompts are drawn from


@dataclass(frozen=True)
class Recipe:
    """A network of the preset `full`."""

    stage: str  # whose contract it obeys
    millions: int  # the number of parameters, rounded, that the built network must have
    residual: bool = True  # Marigold's


TABLES = read_toml(Path(__file__).resolve().parents[1] / "gpu.toml")
RECIPES = {name: Recipe(**recipe) for name, recipe in TABLES["networks"].items()}
SERVED = {"segment": "sam3", "albedo": "marigold", "shadow": "depth-anything"}  # by stage, in the service's run


def contract_of(name: str, largest: int) -> Contract:
    """What a network takes and gives, in batches of up to `largest`."""
    return replace(read_contract(RECIPES[name].stage), max_batch_size=largest)


patterns = cache(PatternBank)  # the built-in ones, drawn once, on the CPU: that takes seconds


def prepare() -> None:
    """Import and draw what every network is built with, so that forked processes find it."""
    from export.networks.hub import depth, marigold_random, sam3  # noqa: F401  # imported only where they are needed

    patterns()


def built(name: str, tiny: bool, device: torch.device) -> nn.Module:
    """Build a network, its random weights made on the device: every process of a machine makes the same ones.

    Raises BenchmarkError: at full size it has not the recipe's number of parameters.
    """
    recipe = RECIPES[name]
    choice = PRESETS["tiny" if tiny else "full"][recipe.stage]
    side = TINY_SIDE if tiny else Options.side
    options = Options(patterns(), True, side=side, residual=recipe.residual)
    rounded = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False  # weights are scaled by what the layers give
    with device:
        network = build(recipe.stage, choice, options).network.eval()
    torch.backends.cudnn.allow_tf32 = rounded
    millions = round(parameters(network) / 1e6)
    if not tiny and millions != recipe.millions:
        raise BenchmarkError(f"{name} has {millions} M parameters, not {recipe.millions} M.")
    return network.to(device)


def parameters(network: nn.Module) -> int:
    """How many a network has."""
    return sum(weight.numel() for weight in network.parameters())


def fresh_inputs(contract: Contract, device: torch.device) -> Draw:
    """A function that draws new inputs of a network for a batch of so many rows, on the device.

    Pixels are noise. Prompts, masks and lights come from a pool of valid ones; a batch has one prompt, as a run has.
    """
    drawn = Contract(contract.name, tuple(one for one in contract.inputs if one.dtype != torch.uint8), ())
    pool = {spec.name: rows.to(device) for spec, rows in zip(drawn.inputs, example_inputs(drawn, POOL), strict=True)}

    def draw(batch: int) -> tuple[Tensor, ...]:
        rows = torch.randint(POOL, (batch,), device=device)
        return tuple(
            torch.randint(256, (batch, *spec.dims), dtype=torch.uint8, device=device)
            if spec.dtype == torch.uint8
            else pool[spec.name][rows[:1].expand(batch) if spec.name.startswith("TOKEN") else rows]
            for spec in contract.inputs
        )

    return draw


@dataclass(frozen=True)
class Variant:
    """One way to run a network."""

    name: str  # what tables call it
    precision: Precision = "fp16"  # what its weights are cast to, but for what must stay in float32
    form: forms.Form | None = None  # the file that is made of it; None for the module itself
    seconds: float = 90.0  # after which the process that measures it is stopped
    sizes: int = 4  # of the batch sizes, from the first

    def batches(self, of: Sequence[int]) -> tuple[int, ...]:
        """The batch sizes that are measured."""
        return tuple(of[: self.sizes])


# How the service is started; under the rate limiter one network computes at a time, under MPS kernels of several.
PLAIN, LIMITED, MPS = "plain", "rate limiter", "MPS"
TRIALS: Mapping[str, tuple[str, ...]] = {PLAIN: (), LIMITED: ("--rate-limit=execution_count",), MPS: ()}

SEED, SCRIPT, COMPILED = "eager fp32", "TorchScript fp16", "AOTI fp16"
VARIANTS = {
    one.name: one
    for one in (
        Variant(SEED, "fp32", sizes=3),
        Variant(SCRIPT, form=forms.TORCHSCRIPT),
        Variant(COMPILED, form=forms.AOTI),
        Variant("AOTI fp8", "fp8", forms.AOTI),
        Variant("AOTI fp16 flash", form=forms.AOTI_FLASH),
        Variant("AOTI fp16 fixed batch", form=forms.AOTI_FIXED, sizes=1),
    )
}

ORDER: tuple[tuple[str, tuple[str, ...]], ...] = tuple((name, tuple(some)) for name, *some in TABLES["order"])
Plan: TypeAlias = Sequence[tuple[str, Variant]]


def plan_of(networks: Collection[str], names: Collection[str]) -> Plan:
    """The pairs of ORDER whose network and variant are among the chosen; of an empty choice, all are."""
    return [
        (network, VARIANTS[name])
        for network, of_network in ORDER
        for name in of_network
        if network in (networks or (network,)) and name in (names or (name,))
    ]
