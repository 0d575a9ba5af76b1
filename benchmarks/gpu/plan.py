"""What is measured: the networks and their inputs, the variants of each (precision, form, changes), and the order."""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend

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
    steps: int = 1  # Marigold's
    autoencoder: Literal["full", "tiny"] = "full"  # Marigold's
    residual: bool = True  # Marigold's


TABLES = read_toml(Path(__file__).resolve().parents[1] / "gpu.toml")
RECIPES = {name: Recipe(**recipe) for name, recipe in TABLES["networks"].items()}


def contract_of(name: str) -> Contract:
    """What a network takes and gives."""
    return read_contract(RECIPES[name].stage)


patterns = cache(PatternBank)  # the built-in ones, drawn once: that takes seconds, and only one network keeps them


@cache
def built(name: str, tiny: bool) -> nn.Module:
    """Build a network on the CPU, once in a process; those it forks find it built and may change their copy.

    Raises BenchmarkError: at full size it has not the recipe's number of parameters.
    """
    recipe = RECIPES[name]
    first = replace(recipe, steps=1, residual=True)
    if recipe != first:
        from export.networks.hub.marigold import library, unroll  # diffusers is imported only where a network needs it
        from export.networks.hub.marigold_random import SCHEDULE

        # The weights are shared: they are gigabytes.
        varied: Any = copy.copy(built(next(one for one in RECIPES if RECIPES[one] == first), tiny))
        varied.schedule = unroll(library.DDIMScheduler(**SCHEDULE), recipe.steps)
        varied.scored = recipe.residual
        return cast(nn.Module, varied)
    choice = PRESETS["tiny" if tiny else "full"][recipe.stage]
    side = TINY_SIDE if tiny else Options.side
    options = Options(patterns(), random_weights=True, side=side, autoencoder=recipe.autoencoder)
    network = build(recipe.stage, choice, options).network.eval()
    millions = round(parameters(network) / 1e6)
    if not tiny and millions != recipe.millions:
        raise BenchmarkError(f"{name} has {millions} M parameters, not {recipe.millions} M.")
    return network


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


FUSED = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
CUDNN = (SDPBackend.CUDNN_ATTENTION, *FUSED)
UNFUSED = (SDPBackend.MATH,)


@dataclass(frozen=True)
class Variant:
    """One way to run a network."""

    name: str  # what tables call it
    precision: Precision = "fp16"  # what its weights are cast to, but for what must stay in float32
    form: forms.Form = forms.eager  # the module, a file, compiled, a CUDA graph
    changes: tuple[Callable[[nn.Module], None], ...] = ()  # made in place, in turn, before the form is
    attention: tuple[SDPBackend, ...] = FUSED  # kernels, best first; those that cannot do the job are passed over
    seconds: float = 60.0  # after which its process is stopped; a compiler takes its time
    least: float = 10.0  # seconds that must be left for it to be worth beginning at full size
    sizes: int = 6  # of the batch sizes, from the first: where each is compiled for itself, not all of them fit
    rehearsed: int = 6  # the same in a dry run, where one will do if another variant shows that the next works

    def batches(self, of: Sequence[int], tiny: bool) -> tuple[int, ...]:
        """The batch sizes that are measured, at full size or in a dry run."""
        return tuple(of[: min(self.sizes, self.rehearsed) if tiny else self.sizes])


SEED, HALF, SERVED = "eager fp32", "eager fp16", "TorchScript fp16"
GRAPH, BLOCKS, EVERYTHING = "CUDA graph fp16", "compiled blocks fp16", "everything fp16"

_compiled = partial(Variant, form=forms.with_compiled_blocks, sizes=3, seconds=150, least=40)
_blocks = (forms.compile_blocks,)
_autotune = partial(forms.compile_blocks, mode="max-autotune-no-cudagraphs")
VARIANTS = {
    one.name: one
    for one in (
        Variant(SEED, "fp32", seconds=110),
        Variant(HALF),
        Variant("eager bf16", "bf16"),
        Variant(SERVED, form=forms.torchscript),
        Variant(GRAPH, form=forms.in_a_graph(forms.eager)),
        _compiled(BLOCKS, changes=_blocks, rehearsed=1),  # EVERYTHING has the second size
        _compiled(EVERYTHING, form=forms.in_a_graph(forms.with_compiled_blocks), changes=_blocks, attention=CUDNN),
        Variant("cuDNN attention fp16", attention=CUDNN),
        Variant("unfused attention fp16", attention=UNFUSED),
        _compiled("autotuned blocks fp16", changes=(_autotune,), seconds=240, least=60, sizes=1),
        Variant("compiled whole fp16", form=forms.compiled_whole, seconds=300, least=90, sizes=1),
        Variant("AOTInductor fp16", form=forms.aot_inductor, seconds=300, least=90),
        Variant("ONNX Runtime fp16", form=forms.onnx_runtime, seconds=400, least=120),
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
