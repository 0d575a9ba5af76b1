"""What was expected of each step before any of it had run on a GPU; the page sets the outcome beside it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.gpu.results import Results
from benchmarks.gpu.variants import BLOCKS, EVERYTHING, GRAPH, HALF, SEED, SERVED

# SAM3 on an H100 that multiplies bf16 matrices at 798 TFLOP/s: 6.03 TFLOP an image, text left out.
IDEAL_MS, TARGET_MS, STRETCH_MS = 7.6, 15.0, 11.0
# What the pipeline that this one replaces says of itself on an H100: seconds per image by batch.
CLAIMS = {8: 0.5, 16: 0.3, 32: 0.2}
CLAIMED_MEMORY = {8: "15–20 GB", 16: "30–40 GB", 32: "50–60 GB"}


@dataclass(frozen=True)
class Prediction:
    """One step: a variant at a batch size, and what it should take."""

    network: str
    variant: str
    batch: int
    ms: float  # expected milliseconds per image
    why: str  # the reasoning, so that a wrong one teaches something

    def outcome(self, results: Results) -> str:
        """What was measured, and how far the prediction was from it."""
        ms = results.ms(self.network, self.variant, self.batch)
        return "not measured" if ms is None else f"{ms:.3g} ms, {ms / self.ms:.2f} × predicted"


PREDICTIONS = (
    Prediction("sam3", SEED, 1, 213, "published for the same code on an H100"),
    Prediction("sam3", HALF, 8, 24, "matrix products at 65 % of the peak take 12 ms, 22 GB of element-wise traffic 10"),
    Prediction("sam3", HALF, 1, 30, "the same, and the processor queues some 2,500 kernels slower than they run"),
    Prediction("sam3", SERVED, 8, 24, "the same kernels as eager"),
    Prediction("sam3", GRAPH, 1, 25, "nothing waits for the processor"),
    Prediction("sam3", GRAPH, 8, 24, "at batch 8 the processor is ahead already"),
    Prediction("sam3", BLOCKS, 8, 15, "rotating queries and keys, 420 MB a layer in float32, is one fused pass"),
    Prediction("sam3", EVERYTHING, 8, 13.5, "and cuDNN's attention, the faster one on Hopper; it is 13 % of the work"),
    Prediction("sam3", "cuDNN attention fp16", 8, 23, "the same alone"),
    Prediction("sam3", "unfused attention fp16", 8, 32, "scores of the four global layers go through memory"),
    Prediction("sam3", "rotary tables kept fp16", 8, 24, "tables are small; 400 launches fewer show at batch 1 only"),
    Prediction("sam3", "each prompt once fp16", 8, 24, "text is 0.3 % of the work"),
    Prediction("sam3", "channels last fp16", 8, 24, "convolutions are 4 % of the work"),
    Prediction("sam3", "compiled whole fp16", 8, 14, "as compiled blocks, and the decoder's small kernels in a graph"),
    Prediction("sam3", "AOTInductor fp16", 8, 15, "the same kernels as torch.compile"),
    Prediction("marigold", HALF, 8, 61, "22 TFLOP, convolutions at 45 % of the peak"),
    Prediction("marigold", "channels last fp16", 8, 50, "no transposition before each convolution"),
    Prediction("marigold-no-residual", HALF, 8, 31, "two of three decodings less: 11 TFLOP"),
    Prediction("marigold-tiny-vae", HALF, 8, 12, "3.4 TFLOP at 35 % of the peak"),
    Prediction("marigold-tiny-vae-no-residual", HALF, 8, 9.8, "2.7 TFLOP at the same share"),
    Prediction("depth-anything", HALF, 8, 1.5, "0.1 TFLOP: its small kernels bound it, not the arithmetic"),
)
