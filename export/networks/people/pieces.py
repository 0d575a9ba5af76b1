"""Tells the connected pieces of a mask apart: the large ones are kept, and small holes found."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.filters import spatial_mean

STEPS = 8  # each at least halves the number of labels of a piece
SMALL = 0.01  # of what is inside: a name plate is filled, the gap within a bent arm is not
SUBSTANTIAL = 0.25  # of the largest piece: two people side by side are both kept, a scrap is not


def substantial_pieces(alpha: Tensor, cell: int) -> Tensor:
    """Find the largest connected piece and those at least a quarter as large.

    Pieces are told apart on cells of `cell` × `cell` pixels.

    Args:
        alpha: float [B,1,S,S] in 0–1, S a multiple of `cell`.
        cell: pixels.

    Returns:
        float [B,1,S/cell,S/cell]: 1 in the cells of those pieces and beside them, 0 in other pieces and far from all.
    """
    share = F.avg_pool2d(alpha, cell)
    inside = (share > 0.5).float()
    total = sum_over_pieces(share, inside)
    largest = total.amax((1, 2, 3), keepdim=True)
    kept = (total >= SUBSTANTIAL * largest).float() * inside
    return F.max_pool2d(kept, 3, 1, 1) * (1.0 - inside + kept)


def small_holes(alpha: Tensor, cell: int) -> Tensor:
    """Find the holes of a mask that are no gap between an arm and a body: at most SMALL of what is inside.

    Takes what `substantial_pieces` takes. Returns float [B,1,S/cell,S/cell]: 1 in the cells of such holes and beside
    them.
    """
    inside = (F.avg_pool2d(alpha, cell) > 0.5).float()
    outside = 1.0 - inside
    # The cells of the frame weigh so much that what is connected with it is never small.
    frame = F.pad(torch.zeros_like(inside)[:, :, 1:-1, 1:-1], (1, 1, 1, 1), value=float(inside.shape[3] ** 2))
    total = sum_over_pieces(outside + frame, outside)
    small = SMALL * spatial_mean(inside) * float(inside.shape[3] ** 2)
    return F.max_pool2d((total <= small).float() * outside, 3, 1, 1)


def sum_over_pieces(weight: Tensor, inside: Tensor) -> Tensor:
    """Sum of `weight` over the connected piece of each cell, 0 outside; all float [B,1,N,N], `inside` 0 or 1."""
    batch, side = inside.shape[0], int(inside.shape[3])
    number = torch.arange(side * side, device=inside.device)
    label = number.expand(batch, side * side)
    for _ in range(STEPS):
        # What a piece's cells see of other labels, its root takes on, and the cells take over from their root.
        seen = F.max_pool2d(label.float().reshape(batch, 1, side, side) * inside, 3, 1, 1) * inside
        label = label.scatter_reduce(1, label, seen.flatten(1).to(torch.int64), "amax")
        label = label.gather(1, label)
        label = label.gather(1, label)
    mass = (weight * inside).flatten(1)
    total = torch.zeros_like(mass).scatter_add(1, label, mass).gather(1, label)
    return total.reshape_as(inside) * inside
