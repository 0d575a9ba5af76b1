"""sRGB ↔ linear light (IEC 61966-2-1) as table look-ups: exact in, within a tenth of a level out, any device."""

import torch
from torch import Tensor

STEPS = 1 << 14  # entries of half the encoding table; at sRGB's steepest (12.92) one step is 0.2 of an 8-bit level
SCALE = STEPS - 1.0  # the index of a working value of 1


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """Decode sRGB values in 0–1 to linear light in 0–1, element by element (IEC 61966-2-1)."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light in 0–1 as sRGB in 0–1, element by element (IEC 61966-2-1)."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


# Both tables have two halves: linear light, then the identity, for arithmetic on sRGB values themselves. Adding half a
# table's length to the index selects the space per photo without a branch.


def decoding_table() -> Tensor:
    """Return the working value in 0–1 of each 8-bit sRGB code: 256 in linear light, 256 in sRGB; float32 [512]."""
    encoded = torch.arange(256, dtype=torch.float64) / 255.0
    return torch.cat((srgb_to_linear(encoded), encoded)).float()


def encoding_table() -> Tensor:
    """Return the nearest 8-bit sRGB code of STEPS working values in linear light, then of STEPS in sRGB; uint8."""
    value = torch.arange(STEPS, dtype=torch.float64) / (STEPS - 1)
    return (torch.cat((linear_to_srgb(value), value)) * 255.0).round().to(torch.uint8)


def decode_levels(levels: Tensor, table: Tensor, in_srgb: Tensor) -> Tensor:
    """Look up uint8 codes; `in_srgb` is int32, 0 for linear light and 1 for sRGB, broadcast over `levels`."""
    return look_up(table, levels.to(torch.int32) + in_srgb * 256)


def encoding_offset(in_srgb: Tensor) -> Tensor:
    """What to add to SCALE × a working value, so that its integer part is the index into the encoding table."""
    return in_srgb * float(STEPS) + 0.5


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Entries of a table [N] at int32 `index` of any shape.

    `gather` becomes ONNX's GatherElements, which is five times as fast in ONNX Runtime on a CPU as Gather.
    """
    return table.gather(0, index.reshape(-1).to(torch.int64)).reshape(index.shape)
