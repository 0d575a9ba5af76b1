"""Shadows that a height field casts on itself: how much of each source a point sees."""

import torch
from torch import Tensor
from torch.nn import functional as F

from contract.light import position
from export.networks.filters import sample
from export.networks.illumination import NATURAL, SLOPE

FIELD = 112  # points of the field across the photo
SIDE = 259  # points across the photo at which horizons, which are smooth, are compared with sources
FRAME = 144  # cells of the field that is turned toward a source, across the photo's diagonal
# Distances from a point at which the surface may stand in the way, in cells.
OFFSETS = (*range(1, 13), 14, 16, 18, 20, 22, 25, 28, 31, 35, 39, 44, 49)
SMALLEST = 2.0  # degrees across: a smaller source would show the cells
LOWEST = -2.0  # slope of a horizon under which nothing changes
GROUND, FAR = 0.25, 1000.0  # standard deviations: heights that are ground, and how far it is behind the person
BEHIND = 0.1  # sine of the angle behind the picture's plane up to which the surface is taken to be deeper
RADIANS = 3.141592653589793 / 180.0


def visibility(height: Tensor, light: Tensor, relief: Tensor, aspect: Tensor) -> Tensor:
    """How much of each source every point sees.

    The field is turned toward the source, so that marching to it goes along rows. The steepest slope on the way is the
    horizon; with η its angle and e the source's elevation, a source θ across is seen by sin(e − η) / θ + ½, as a disc
    that sets. The sine of the difference is (sin e − cos e · tan η) · cos η.

    Args:
        height: float [B,1,S,S], standardised.
        light: float [B,K,L,16].
        relief: float [B,K], by which heights are multiplied.
        aspect: float [B,1], width ÷ height.

    Returns:
        float [B,K,L,259,259], 1 where all of a source is seen, 1 − `cast_shadow` where nothing of it is.
    """
    batch, pictures, sources = light.shape[0], light.shape[1], light.shape[2]
    count = pictures * sources
    x, y, z = (light[..., index].reshape(batch, count, 1, 1) for index in range(3))
    level = torch.sqrt(x * x + y * y).clamp(min=1e-4)
    # Of a source straight in front nothing is ahead: the horizon is flat.
    ahead_x, ahead_y = x / level, y / level
    wide = aspect.clamp(min=0.01).reshape(batch, 1, 1, 1)
    radius = 0.5 * torch.sqrt(wide * wide + 1.0)

    small = F.interpolate(height, (FIELD, FIELD), mode="bilinear", align_corners=False)
    frame = (torch.arange(FRAME, dtype=light.dtype, device=light.device) + 0.5) * (2.0 / FRAME) - 1.0
    along, across = frame.reshape(1, 1, 1, -1) * radius, frame.reshape(1, 1, -1, 1) * radius
    small = small.expand(batch, count, FIELD, FIELD)
    turned = sample_each(
        small, (along * ahead_x - across * ahead_y) * (2.0 / wide), (along * ahead_y + across * ahead_x) * 2.0
    )
    cell = radius * (2.0 / FRAME)

    # The ground stands for whatever is far behind the person: it hides no source behind the picture's plane.
    ground = height.amin((2, 3), keepdim=True)
    level_ground = (1.0 - (turned - ground) / GROUND).clamp(0.0, 1.0) * (z < 0.0).to(turned)
    last = F.pad(turned - FAR * level_ground, (0, OFFSETS[-1], 0, 0), mode="replicate")
    horizon = last[..., 1 : 1 + FRAME] - turned
    for offset in OFFSETS[1:]:
        horizon = torch.maximum(horizon, (last[..., offset : offset + FRAME] - turned) * (1.0 / offset))

    centres = (torch.arange(SIDE, dtype=light.dtype, device=light.device) + 0.5) * (2.0 / SIDE) - 1.0
    right, down = centres.reshape(1, 1, 1, -1) * (0.5 * wide), centres.reshape(1, 1, -1, 1) * 0.5
    seen = sample_each(
        horizon, (right * ahead_x + down * ahead_y) / radius, (down * ahead_x - right * ahead_y) / radius
    )
    steepness = relief.unsqueeze(2).expand(batch, pictures, sources).reshape(batch, count, 1, 1)
    # What a source behind the person reaches is decided by the surface of the normals, which is deep enough for that.
    depth = 1.0 + (SLOPE / NATURAL - 1.0) * (-z / BEHIND).clamp(0.0, 1.0)
    slope = (seen * (steepness * depth * (NATURAL / cell))).clamp(min=LOWEST)

    above = (z - level * slope) / torch.sqrt(1.0 + slope * slope)
    size, cast = (light[..., position(name)].reshape(batch, count, 1, 1) for name in ("angular_size", "cast_shadow"))
    hidden = (0.5 - above / (size.clamp(min=SMALLEST) * RADIANS)).clamp(0.0, 1.0)
    return (1.0 - cast * hidden).reshape(batch, pictures, sources, SIDE, SIDE)


def sample_each(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values of float [B,N,·,·] at x and y, float [B,N,h,w] or broadcast to it, in −1 to 1; float [B,N,h,w]."""
    x, y = x + torch.zeros_like(y), y + torch.zeros_like(x)
    stack = image.reshape(-1, 1, image.shape[2], image.shape[3])
    return sample(stack, x.flatten(0, 1), y.flatten(0, 1)).reshape(x.shape)
