"""sRGB ↔ linear light (IEC 61966-2-1) as table look-ups: exact in, within a tenth of a level out, any device."""

import torch
from torch import Tensor

from contract.files import HEADROOM, WHITE

STEPS = 1 << 14  # entries of the encoding table up to 1; at sRGB's steepest (12.92) one step is 0.2 of an 8-bit level
SCALE = STEPS - 1.0  # the index of a working value of 1
PART = int(HEADROOM) * STEPS  # entries of a part of the encoding table


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """Decode sRGB values in 0–1 to linear light in 0–1, element by element (IEC 61966-2-1)."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light in 0–1 as sRGB in 0–1, element by element (IEC 61966-2-1)."""
    curve = 1.055 * linear.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(linear <= 0.0031308, linear * 12.92, curve)


# The tables have a part for linear light and one for sRGB values as working values. Adding a part's place to the index
# selects it per photo without a branch.


def decoding_table() -> Tensor:
    """Return the working value in 0–1 of each 8-bit sRGB code: 256 in linear light, 256 in sRGB; float32 [512]."""
    encoded = torch.arange(256, dtype=torch.float64) / 255.0
    return torch.cat((srgb_to_linear(encoded), encoded)).float()


def encoding_table() -> Tensor:
    """Return the finished bytes of working values up to HEADROOM, uint8 [6·PART]: the tables of PLANES, each twice.

    Table 0 is the nearest 8-bit sRGB code, tables 1 and 2 are the high and the low byte of linear light × WHITE. The
    first three are of working values in linear light, the others of those in sRGB.
    """
    value = torch.arange(PART, dtype=torch.float64) / SCALE
    tables = []
    for light, code in ((value, linear_to_srgb(value)), (srgb_to_linear(value), value)):
        deep = (light * WHITE).round().clamp(max=65_535.0).to(torch.int32)
        tables += [(code.clamp(max=1.0) * 255.0).round().to(torch.int32), deep // 256, deep % 256]
    return torch.cat(tables).to(torch.uint8)


def decode_levels(levels: Tensor, table: Tensor, in_srgb: Tensor) -> Tensor:
    """Look up uint8 codes; `in_srgb` is int32, 0 for linear light and 1 for sRGB, broadcast over `levels`."""
    return look_up(table, levels.to(torch.int32) + in_srgb * 256)


def encoding_offset(in_srgb: Tensor, planes: Tensor) -> Tensor:
    """What to add to SCALE × a working value, so that its integer part is the index into the encoding table.

    Takes 0 for linear light and 1 for sRGB, and numbers of PLANES, which broadcast; float32.
    """
    return (in_srgb * 3.0 + planes) * float(PART) + 0.5


def look_up(table: Tensor, index: Tensor) -> Tensor:
    """Entries of a table [N] at int32 `index` of any shape.

    `gather` becomes ONNX's GatherElements, which is five times as fast in ONNX Runtime on a CPU as Gather.
    """
    return table.gather(0, index.reshape(-1).to(torch.int64)).reshape(index.shape)
