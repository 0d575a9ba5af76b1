"""Tells the connected pieces of a mask apart, and keeps the large ones."""

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 8  # each at least halves the number of labels of a piece
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
    inside = (F.avg_pool2d(alpha, cell) > 0.5).float()
    batch, side = inside.shape[0], int(inside.shape[3])
    number = torch.arange(side * side, device=alpha.device)
    label = number.expand(batch, side * side)
    for _ in range(STEPS):
        # What a piece's cells see of other labels, its root takes on, and the cells take over from their root.
        seen = F.max_pool2d(label.float().reshape(batch, 1, side, side) * inside, 3, 1, 1) * inside
        label = label.scatter_reduce(1, label, seen.flatten(1).to(torch.int64), "amax")
        label = label.gather(1, label)
        label = label.gather(1, label)
    mass = (F.avg_pool2d(alpha, cell) * inside).flatten(1)
    total = torch.zeros_like(mass).scatter_add(1, label, mass).gather(1, label) * inside.flatten(1)
    kept = ((total >= SUBSTANTIAL * total.amax(1, keepdim=True)).float() * inside.flatten(1)).reshape_as(inside)
    return F.max_pool2d(kept, 3, 1, 1) * (1.0 - inside + kept)
