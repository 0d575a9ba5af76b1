"""Large matrix products in 8 bits, which the CPU multiplies too."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from export.exporter import cast
from export.networks.fp8 import Fp8Linear, quantise, quantise_products
from export.options import read_command

SIDE = 1024  # of the smallest layer that is large


class Mixed(nn.Module):
    """A large layer, one too small, one that stays in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.small, self.exact = nn.Linear(SIDE, SIDE), nn.Linear(SIDE, 16), nn.Linear(SIDE, SIDE)

    def cast_weights(self, dtype: torch.dtype) -> None:
        self.large.to(dtype)
        self.small.to(dtype)


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_right_to_a_few_percent_whatever_the_scale_of_a_row(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(SIDE, SIDE, bias=bias).half()
    rows = torch.randn(2, 3, SIDE).half() * torch.tensor([1e-3, 1.0, 100.0]).half().reshape(1, 3, 1)
    with torch.no_grad():
        answer, truth = Fp8Linear(layer)(rows), layer.float()(rows.float())
    assert (answer.dtype, answer.shape) == (torch.float16, truth.shape)
    error = (answer.float() - truth).norm(dim=2) / truth.norm(dim=2)
    assert 0.005 < error.max() < 0.05  # 8 bits, and not half precision


def test_a_row_of_zeros_stays_zero() -> None:
    values, scale = quantise(torch.zeros(2, SIDE))
    assert not values.float().any()
    assert torch.isfinite(scale).all()


def test_only_large_layers_in_half_precision_are_replaced() -> None:
    network = Mixed()
    assert cast(network, "fp8") == "fp8"
    kinds = {name: type(layer) for name, layer in network.named_children()}
    assert kinds == {"large": Fp8Linear, "small": nn.Linear, "exact": nn.Linear}
    assert quantise_products(network) == 0


def test_a_network_without_large_layers_is_fp16_and_its_report_says_so() -> None:
    class Small(nn.Module):
        def cast_weights(self, dtype: torch.dtype) -> None:
            self.to(dtype)

    assert cast(Small(), "fp8") == "fp16"
    assert cast(nn.Linear(2, 2), "fp8") == "fp32"


def test_the_gelu_of_an_mlp_is_rounded_with_its_answers_and_they_stay_the_same() -> None:
    """The CPU's operations; `test_gelu_kernel.py` has the GPU's kernel."""

    class Gelu(nn.Module):  # as transformers has it
        act = staticmethod(F.gelu)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(x)

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.activation_fn, self.fc1, self.fc2 = Gelu(), nn.Linear(SIDE, SIDE), nn.Linear(SIDE, SIDE)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.fc2(self.activation_fn(self.fc1(x)))
            return answer

    torch.manual_seed(0)
    mlp, rows = Mlp().half(), torch.randn(2, 3, SIDE).half()
    apart = copy.deepcopy(mlp)
    for name in ("fc1", "fc2"):
        setattr(apart, name, Fp8Linear(getattr(apart, name)))
    assert quantise_products(mlp) == 2
    assert isinstance(mlp.activation_fn, nn.Identity)
    with torch.no_grad():
        answer, truth = mlp(rows), apart(rows)
    assert (answer.dtype, answer.shape) == (torch.float16, truth.shape)
    # GELU of bfloat16 is rounded to it on a CPU, before it is rounded to 8 bits; the kernel rounds once.
    assert (answer - truth).norm() / truth.norm() < 0.02


@pytest.mark.parametrize("file_format", ["onnx", "torchscript", "aoti"])
def test_a_machine_that_cannot_multiply_8_bit_numbers_refuses_in_one_sentence(
    file_format: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        read_command(["--precision", "fp8", "--format", file_format])
    assert (
        "fp8 is for --format aoti on a Hopper GPU (compute capability 9.0) or newer: use fp16"
        in capsys.readouterr().err
    )
