"""The kernel of GELU and rounding, without a GPU: its numbers in Triton's interpreter, its code for a Hopper GPU."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from export.gelu import CheapGelu
from export.networks.fp8 import FP8, LARGEST, quantise, quantise_gelu

triton = pytest.importorskip("triton", reason="a wheel of 200 MB that CUDA builds of torch bring: not in CI")

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
WIDTHS = (4736, 1024, 48)  # SAM3's, a power of two alone, a small one


def draw(width: int, dtype: torch.dtype) -> Tensor:
    """Rows of different ranges, one of zeros; one value is not a number."""
    rows = torch.randn(5, width, generator=torch.Generator().manual_seed(width))
    rows *= torch.tensor([1e-2, 1, 3, 20, 0]).reshape(5, 1)
    rows[1, 5] = torch.nan
    return rows.to(dtype)


def interpreted(width: int, dtype: torch.dtype) -> tuple[Any, Any]:
    """Values not yet rounded, and scales, of the kernel; in a process that imports triton as its interpreter."""
    from export.networks.gelu_kernel import blocks, quantise_row

    rows = draw(width, dtype)
    values, scales = torch.empty(rows.shape), torch.empty(len(rows))
    quantise_row[len(rows),](rows, values, scales, width, *blocks(width))
    return values.numpy(), scales.numpy()


def test_the_kernel_gives_the_numbers_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its conversion to 8 bits is the GPU's: the interpreter of triton 3.9 halves what it rounds up to a power of 2."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        found = {case: process.submit(interpreted, *case).result() for case in product(WIDTHS, DTYPES)}
    for case, (values, scales) in found.items():
        rows = draw(*case).double()
        truth = rows * torch.special.ndtr(rows)
        scale = quantise(truth.nan_to_num().float())[1]
        np.testing.assert_allclose(scales[:, None], scale.numpy(), rtol=1e-5)
        np.testing.assert_allclose(values, (truth / scale).numpy(), rtol=2e-5, atol=1e-4)  # its smallest step is 2e-3
        assert np.nanmax(abs(values)) < LARGEST + 1e-3


def test_the_kernel_compiles_for_a_hopper_gpu_and_converts_in_hardware() -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from export.networks.gelu_kernel import WARPS, quantise_row

    types = {"source": "*bf16", "values": "*fp8e4nv", "scales": "*fp32"}
    sizes = {"columns": 4736, "head": 4096, "tail": 1024}
    aligned = {(at,): [["tt.divisibility", 16]] for at in range(3)}
    source = ASTSource(quantise_row, {**types, **dict.fromkeys(sizes, "constexpr")}, sizes, aligned)
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": WARPS}).asm["ptx"]
    assert "cvt.rn.satfinite.e4m3x2.f32" in code
    assert "ld.global.v4" in code


def test_on_a_gpu_the_operator_is_in_the_place_of_torch_s() -> None:
    with FakeTensorMode():
        values, scales = quantise_gelu(torch.empty(3, 4736, dtype=torch.bfloat16, device="cuda"))
    assert (values.dtype, tuple(values.shape)) == (FP8, (3, 4736))
    assert (scales.dtype, tuple(scales.shape)) == (torch.float32, (3, 1))


def test_an_export_of_half_precision_has_the_cheap_gelu() -> None:
    with CheapGelu():
        program = torch.export.export(torch.nn.GELU(), (torch.ones(2).half(),), strict=False)
    assert "aten.gelu" not in program.graph_module.code
