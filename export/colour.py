"""sRGB ↔ linear light (IEC 61966-2-1) as table look-ups: exact in, within a tenth of a level out, any device."""

import torch
from torch import Tensor

LINEAR_STEPS = 1 << 14  # entries of the encoding table; at sRGB's steepest (12.92) one step is 0.2 of an 8-bit level


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """Decode sRGB values in 0–1 to linear light in 0–1, element by element (IEC 61966-2-1)."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light in 0–1 as sRGB in 0–1, element by element (IEC 61966-2-1)."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


def decoding_table() -> Tensor:
    """Return linear light for each 8-bit sRGB code, float32 [256] in 0–1."""
    return srgb_to_linear(torch.arange(256, dtype=torch.float64) / 255.0).float()


def encoding_table() -> Tensor:
    """Return the nearest 8-bit sRGB code for each of LINEAR_STEPS equal steps of linear light, uint8."""
    linear = torch.arange(LINEAR_STEPS, dtype=torch.float64) / (LINEAR_STEPS - 1)
    return (linear_to_srgb(linear) * 255.0).round().to(torch.uint8)


def decode_levels(levels: Tensor, table: Tensor) -> Tensor:
    """Look up uint8 `levels` of any shape in a table of 256 entries."""
    return table.index_select(0, levels.to(torch.int32).reshape(-1)).reshape(levels.shape)


def encode_levels(linear: Tensor, table: Tensor) -> Tensor:
    """Encode linear light of any shape (clipped to 0–1) as uint8 sRGB with a table of LINEAR_STEPS entries."""
    index = linear.clamp(0.0, 1.0) * float(LINEAR_STEPS - 1) + 0.5
    return table.index_select(0, index.to(torch.int32).reshape(-1)).reshape(linear.shape)
