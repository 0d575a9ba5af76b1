"""The networks that are measured, at full size or tiny, with random weights, and fresh inputs for them."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.rig.report import BenchmarkError
from export.networks.pattern_bank import PatternBank
from export.networks.presets import PRESETS, Options, build
from export.tensors import Contract, example_inputs, read_contract

TINY_SIDE = 48  # of Marigold in a dry run
POOL = 32  # rows that lights, masks and prompts are drawn from


@dataclass(frozen=True)
class Recipe:
    """A network of the preset `full`."""

    stage: str  # whose contract it obeys
    millions: int  # the published number of parameters, rounded, that the built network must have
    steps: int = 1  # Marigold's
    autoencoder: Literal["full", "tiny"] = "full"  # Marigold's
    residual: bool = True  # Marigold's


RECIPES: Mapping[str, Recipe] = {
    "sam3": Recipe("segment", 840),
    "marigold": Recipe("albedo", 950),
    "marigold-no-residual": Recipe("albedo", 950, residual=False),
    "marigold-4-steps": Recipe("albedo", 950, steps=4),
    "marigold-tiny-vae": Recipe("albedo", 868, autoencoder="tiny"),
    "marigold-tiny-vae-no-residual": Recipe("albedo", 868, autoencoder="tiny", residual=False),
    "marigold-tiny-vae-4-steps": Recipe("albedo", 868, steps=4, autoencoder="tiny"),
    "depth-anything": Recipe("shadow", 25),
}


def contract_of(name: str) -> Contract:
    """What a network takes and gives."""
    return read_contract(RECIPES[name].stage)


@cache
def built(name: str, tiny: bool) -> nn.Module:
    """Build a network on the CPU, once in a process; those it forks find it built and may change their copy.

    Raises BenchmarkError: at full size it has not the published number of parameters.
    """
    recipe = RECIPES[name]
    first = replace(recipe, steps=1, residual=True)
    if recipe != first:
        return variation(next(one for one in RECIPES if RECIPES[one] == first), tiny, recipe)
    choice = PRESETS["tiny" if tiny else "full"][recipe.stage]
    side = TINY_SIDE if tiny else Options.side
    options = Options(patterns(), random_weights=True, side=side, autoencoder=recipe.autoencoder)
    network = build(recipe.stage, choice, options).network.eval()
    millions = round(parameters(network) / 1e6)
    if not tiny and millions != recipe.millions:
        raise BenchmarkError(f"{name} has {millions} M parameters, not the published {recipe.millions} M.")
    return network


@cache
def patterns() -> PatternBank:
    """The built-in shadow patterns, drawn once: that takes seconds, and only one network keeps them."""
    return PatternBank()


def variation(name: str, tiny: bool, recipe: Recipe) -> nn.Module:
    """The Marigold `name` with a recipe's steps, scored or not; the weights are shared, they are gigabytes."""
    from export.networks.marigold import library, unroll  # diffusers is imported only where a network needs it
    from export.networks.marigold_random import SCHEDULE

    network = copy.copy(built(name, tiny))
    network.schedule = unroll(library.DDIMScheduler(**SCHEDULE), recipe.steps)  # type: ignore[assignment]
    network.scored = recipe.residual  # type: ignore[assignment]
    return network


def parameters(network: nn.Module) -> int:
    """How many a network has."""
    return sum(weight.numel() for weight in network.parameters())


def fresh_inputs(contract: Contract, device: torch.device) -> Callable[[int], tuple[Tensor, ...]]:
    """A function that draws a network's inputs anew for a batch of so many rows, on the device.

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
