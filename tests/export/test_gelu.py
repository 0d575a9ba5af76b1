"""The cheap GELU of compiled networks: right to the last bit of half precision, and not in float32."""

import torch
from torch import nn

from export.gelu import CheapGelu, cheap_gelu


def test_every_number_of_half_precision_gets_the_nearest_answer_or_its_neighbour() -> None:
    x = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16)
    x = x[x.isfinite()]
    truth = (x.double() * torch.special.ndtr(x.double())).half()
    steps = (cheap_gelu(x).view(torch.int16).int() - truth.view(torch.int16).int()).abs()
    steps[truth == 0] = (cheap_gelu(x)[truth == 0] != 0).int()  # two zeros
    assert steps.max() == 1
    assert (steps == 1).sum() < 200  # torch's own: 454
    ends = cheap_gelu(torch.tensor([float("inf"), -60000.0, float("nan")]).half())
    assert ends[0] == float("inf")
    assert ends[1] == 0
    assert ends[2].isnan()


def test_in_float32_and_bfloat16_the_error_is_under_a_millionth() -> None:
    x = torch.linspace(-12, 12, 100_001)
    truth = x.double() * torch.special.ndtr(x.double())
    assert (cheap_gelu(x) - truth).abs().max() < 2e-6
    rounded = cheap_gelu(x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert (rounded - truth).abs().max() < 0.04  # half a step of bfloat16 between 8 and 16, of x and of the answer


def test_exact_gelu_of_half_precision_alone_becomes_the_cheap_one() -> None:
    x = torch.linspace(-6, 6, 4096)
    with CheapGelu():
        half, single, tanh = nn.GELU()(x.half()), nn.GELU()(x), nn.GELU("tanh")(x.half())
    assert torch.equal(half, cheap_gelu(x.half()))
    assert not torch.equal(half, nn.GELU()(x.half()))
    assert torch.equal(single, nn.GELU()(x))
    assert torch.equal(tanh, nn.GELU("tanh")(x.half()))
