"""GELU and rounding to 8 bits in one pass over memory: a kernel in Triton's language, which CUDA builds of torch bring.

Proven without a GPU: its numbers in the interpreter; that it compiles for Hopper, with 32 registers a thread and none
spilled, loads of 16 bytes and the conversion in hardware (triton 3.9); that AOTInductor takes it into its code, without
copies of what it reads. No GPU has run it yet: its speed is not known.
"""

import hashlib
from pathlib import Path

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton

from export.gelu import COEFFICIENTS, END

FP8 = torch.float8_e4m3fn
WARPS = 8
# A package is taken again where its graph is the same one: the operator has another name once the kernel changes.
DIGEST = hashlib.sha256(Path(__file__).read_bytes() + repr(COEFFICIENTS).encode()).hexdigest()[:8]

# Globals of a kernel are constants of this type.
C0, C1, C2, C3, C4, C5, C6, C7 = (tl.constexpr(coefficient) for coefficient in COEFFICIENTS)
LAST = tl.constexpr(END)


@triton.jit
def gelu(source, at, inside):  # type: ignore[no-untyped-def]  # Triton would read the types
    """`export.gelu.cheap_gelu` of the values at these places; 0 outside the row."""
    values = tl.load(source + at, mask=inside, other=0.0).to(tl.float32)
    z = tl.minimum(tl.abs(values), LAST)
    exponent = tl.fma(z, C7, C6)
    exponent = tl.fma(z, exponent, C5)
    exponent = tl.fma(z, exponent, C4)
    exponent = tl.fma(z, exponent, C3)
    exponent = tl.fma(z, exponent, C2)
    exponent = tl.fma(z, exponent, C1)
    exponent = tl.fma(z, exponent, C0)
    return tl.maximum(values, 0.0, propagate_nan=tl.PropagateNan.ALL) - z * tl.exp2(exponent)


@triton.jit  # type: ignore[untyped-decorator]
def quantise_row(  # type: ignore[no-untyped-def]
    source, values, scales, columns: tl.constexpr, head: tl.constexpr, tail: tl.constexpr
):
    """Read one row of M values once, keep it in registers in two blocks; write it in 8 bits, and its scale."""
    row = tl.program_id(0).to(tl.int64)  # an offset can be larger than 32 bits hold
    source += row * columns
    values += row * columns
    first = tl.arange(0, head)
    second = head + tl.arange(0, tail)
    left = gelu(source, first, first < columns)
    right = gelu(source, second, second < columns)
    largest = tl.maximum(tl.max(tl.abs(left), 0), tl.max(tl.abs(right), 0))
    scale = tl.maximum(largest, 1e-12) / 448.0
    factor = 1.0 / scale
    tl.store(scales + row, scale)
    tl.store(values + first, (left * factor).to(values.dtype.element_ty), mask=first < columns)
    tl.store(values + second, (right * factor).to(values.dtype.element_ty), mask=second < columns)


@triton_op(f"relight::quantise_gelu_{DIGEST}", mutates_args=())
def quantise_gelu(rows: Tensor) -> tuple[Tensor, Tensor]:
    """GELU of float [N,M] on a GPU, each row rounded over its own range; e4m3 [N,M] and its scales, float32 [N,1]."""
    rows = rows.contiguous()
    count, columns = rows.shape
    values = torch.empty_like(rows, dtype=FP8)
    scales = rows.new_empty((count, 1), dtype=torch.float32)
    wrap_triton(quantise_row)[(count,)](rows, values, scales, columns, *blocks(columns), num_warps=WARPS)
    return values, scales


def blocks(columns: int) -> tuple[int, int]:
    """Two powers of two that hold a row: 4096 and 1024 for 4736 columns, where one would be 8192."""
    head = 1 << (columns.bit_length() - 1)
    return head, int(triton.next_power_of_2(max(1, columns - head)))
