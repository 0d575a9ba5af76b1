"""The variants of a network that are measured (precision, form, what was changed in it), and in which order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from torch import nn
from torch.nn.attention import SDPBackend

from benchmarks.gpu import forms
from export.check.gate import Precision

FUSED = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
CUDNN = (SDPBackend.CUDNN_ATTENTION, *FUSED)
UNFUSED = (SDPBackend.MATH,)


@dataclass(frozen=True)
class Variant:
    """One way to run a network.

    Attributes:
        name: what tables call it.
        precision: what its weights are cast to, but for what must stay in float32.
        form: eager, a file, compiled, a CUDA graph.
        changes: made in place, in turn, before the form is.
        attention: the kernels that may be taken, best first; those that cannot do the job are passed over.
        seconds: after which its process is stopped; a compiler takes its time.
        least: seconds that must be left for it to be worth beginning at full size.
        sizes: how many of the batch sizes, from the first: where each is compiled for itself, not all of them fit.
        rehearsed: the same in a dry run, where one will do if another variant has shown that the next size works.
    """

    name: str
    precision: Precision = "fp16"
    form: forms.Form = forms.eager
    changes: tuple[Callable[[nn.Module], None], ...] = ()
    attention: tuple[SDPBackend, ...] = FUSED
    seconds: float = 60.0
    least: float = 10.0
    sizes: int = 6
    rehearsed: int = 6

    def batches(self, of: Sequence[int], tiny: bool) -> tuple[int, ...]:
        """The batch sizes that are measured, at full size or in a dry run."""
        return tuple(of[: min(self.sizes, self.rehearsed) if tiny else self.sizes])


SEED, HALF, SERVED = "eager fp32", "eager fp16", "TorchScript fp16"
GRAPH, BLOCKS, EVERYTHING = "CUDA graph fp16", "compiled blocks fp16", "everything fp16"

_compiled = partial(Variant, form=forms.with_compiled_blocks, sizes=3, seconds=150, least=40)
_all = (forms.keep_rotary_tables, forms.channels_last, forms.compile_blocks)
_autotune = partial(forms.compile_blocks, mode="max-autotune-no-cudagraphs")
VARIANTS = {
    one.name: one
    for one in (
        Variant(SEED, "fp32", seconds=110),
        Variant(HALF),
        Variant("eager bf16", "bf16"),
        Variant(SERVED, form=forms.torchscript),
        Variant(GRAPH, form=forms.in_a_graph(forms.eager)),
        _compiled(BLOCKS, changes=(forms.compile_blocks,), rehearsed=1),  # EVERYTHING has the second size
        _compiled(EVERYTHING, form=forms.in_a_graph(forms.with_compiled_blocks), changes=_all, attention=CUDNN),
        Variant("cuDNN attention fp16", attention=CUDNN),
        Variant("unfused attention fp16", attention=UNFUSED),
        Variant("rotary tables kept fp16", changes=(forms.keep_rotary_tables,)),
        Variant("each prompt once fp16", changes=(forms.encode_each_prompt_once,)),
        Variant("channels last fp16", changes=(forms.channels_last,)),
        _compiled("autotuned blocks fp16", changes=(_autotune,), seconds=240, least=60, sizes=1),
        Variant("compiled whole fp16", form=forms.compiled_whole, seconds=300, least=90, sizes=1),
        Variant("AOTInductor fp16", form=forms.aot_inductor, seconds=300, least=90),
        Variant("ONNX Runtime fp16", form=forms.onnx_runtime, seconds=400, least=120),
    )
}

# What is measured, the most important first: SAM3, which the target is about, then what is served beside it.
ORDER: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sam3", (HALF, SERVED, SEED, BLOCKS, GRAPH, EVERYTHING)),
    ("depth-anything", (HALF, SERVED)),
    ("marigold", (HALF, SERVED)),
    ("marigold-no-residual", (HALF, SERVED)),
    ("marigold", (SEED,)),
    ("depth-anything", (SEED,)),
    ("marigold-tiny-vae", (HALF, SERVED)),
    ("sam3", ("cuDNN attention fp16", "rotary tables kept fp16", "each prompt once fp16", "channels last fp16")),
    ("marigold", ("channels last fp16", GRAPH)),
    ("marigold-tiny-vae-no-residual", (HALF, SERVED)),
    ("marigold-4-steps", (HALF,)),
    ("marigold-tiny-vae-4-steps", (HALF,)),
    ("sam3", ("eager bf16", "unfused attention fp16", "AOTInductor fp16")),
    ("depth-anything", (GRAPH, BLOCKS, "AOTInductor fp16", "ONNX Runtime fp16", "eager bf16")),
    ("sam3", ("compiled whole fp16",)),
    ("marigold-tiny-vae", (SEED, "channels last fp16", GRAPH, "eager bf16")),
    ("marigold-4-steps", (SERVED, SEED)),
    ("marigold-tiny-vae-4-steps", (SERVED, SEED)),
    ("sam3", ("autotuned blocks fp16", "ONNX Runtime fp16")),
    ("marigold", ("eager bf16", BLOCKS, "AOTInductor fp16", "ONNX Runtime fp16")),
)
Plan: TypeAlias = Sequence[tuple[str, Variant]]


def plan_of(
    order: Sequence[tuple[str, Sequence[str]]],
    variants: Mapping[str, Variant],
    networks: Collection[str],
    names: Collection[str],
) -> Plan:
    """The pairs of `order` whose network and variant are among the chosen; of an empty choice, all are."""
    return [
        (network, variants[name])
        for network, of_network in order
        for name in of_network
        if network in (networks or (network,)) and name in (names or (name,))
    ]
