"""Large matrix products in 8 bits: factors of e4m3 with a scale for each row, on GPUs that multiply them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._triton import has_triton_package

FP8 = torch.float8_e4m3fn
LARGEST = 448.0  # of e4m3
CAPABILITY = (9, 0)  # Hopper
# Weights of a layer: a transformer's products have at least so many, heads and small decoders fewer.
LEAST = 2**20


class Fp8Linear(nn.Module):
    """x · Wᵀ + b as torch's own product of 8-bit numbers; weights are scaled once, x at each call."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None
    quantise: Callable[[Tensor], tuple[Tensor, Tensor]]

    def __init__(self, layer: nn.Linear) -> None:
        """Take over a layer; both of its sizes are multiples of 16."""
        super().__init__()
        self.quantise, self.dtype = quantise, layer.weight.dtype
        weight, scale = quantise(layer.weight.detach())
        self.register_buffer("weight", weight)  # [out,in]
        self.register_buffer("scale", scale.t().contiguous())  # float32 [1,out]
        # The product itself is given in bfloat16: rowwise scales allow no other on Hopper.
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().to(torch.bfloat16))

    def forward(self, x: Tensor) -> Tensor:
        """Multiply float [...,in]; [...,out] of the layer's dtype."""
        rows, scale = self.quantise(x.reshape(-1, x.shape[-1]))
        product = torch._scaled_mm(
            rows, self.weight.t(), scale, self.scale, bias=self.bias, out_dtype=torch.bfloat16, use_fast_accum=True
        )
        return product.to(self.dtype).reshape(*x.shape[:-1], -1)


def quantise(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of float [N,M] to 8 bits over its own range; e4m3 [N,M] and its scales, float32 [N,1]."""
    values = rows.float()
    scale = values.abs().amax(1, keepdim=True).clamp(min=1e-12) / LARGEST
    return (values / scale).clamp(-LARGEST, LARGEST).to(FP8), scale


def quantise_gelu(rows: Tensor) -> tuple[Tensor, Tensor]:
    """GELU of float [N,M], then `quantise`; in one kernel on a GPU, where torch comes with the package triton."""
    if not (rows.is_cuda and has_triton_package()):
        return quantise(F.gelu(rows))
    from export.networks import gelu_kernel

    values, scale = gelu_kernel.quantise_gelu(rows)
    return values, scale


def quantise_products(network: nn.Module) -> int:
    """Replace the large linear layers of half precision in a network by 8-bit ones; return how many."""
    replaced = 0
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Linear) and fits(layer):
                setattr(parent, name, Fp8Linear(layer))
                replaced += 1
        take_in_gelu(parent)
    return replaced


def take_in_gelu(mlp: nn.Module) -> None:
    """Let the second product of a transformers MLP, fc2(activation_fn(fc1(x))), round GELU's answers itself.

    The first product's answers stay in bfloat16, since a kernel of our own cannot be fused with their conversion.
    """
    first, activation, second = (getattr(mlp, name, None) for name in ("fc1", "activation_fn", "fc2"))
    if isinstance(first, Fp8Linear) and isinstance(second, Fp8Linear) and getattr(activation, "act", None) is F.gelu:
        first.dtype, second.quantise = torch.bfloat16, quantise_gelu
        mlp.activation_fn = nn.Identity()


def fits(layer: nn.Linear) -> bool:
    """Whether a layer may be 8-bit: large, cast already, and of sizes that the product takes."""
    half = layer.weight.dtype in (torch.float16, torch.bfloat16)
    return half and layer.weight.numel() >= LEAST and not (layer.in_features % 16 or layer.out_features % 16)


def multiplied_here() -> bool:
    """Whether this machine's first GPU multiplies 8-bit numbers."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= CAPABILITY
