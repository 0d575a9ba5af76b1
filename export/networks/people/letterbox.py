"""Gives a squashed photo its proportions back: networks that learned from faces know them only unsquashed."""

import torch
from torch import Tensor
from torch.nn import functional as F


def letterbox(image: Tensor, aspect: Tensor, side: int) -> Tensor:
    """Put a photo in the middle of a square as wide as its longer side, zeros around it.

    Args:
        image: float [B,C,S,S], squashed to a square.
        aspect: float [B,1], width ÷ height before that.
        side: of the result in pixels, [B,C,side,side].
    """
    longer = aspect.clamp(min=1.0)
    return sample(image, longer / aspect.clamp(min=0.01), longer, side)


def unbox(image: Tensor, aspect: Tensor, side: int) -> Tensor:
    """Cut the photo out of a letterbox and squash it again; float [B,C,S,S] → [B,C,side,side]."""
    longer = aspect.clamp(min=1.0)
    return sample(image, aspect / longer, 1.0 / longer, side)


def sample(image: Tensor, wide: Tensor, high: Tensor, side: int) -> Tensor:
    """Take a window `wide` × `high` [B,1] (shares of the image, around its middle) of float [B,C,S,S]."""
    place = (torch.arange(side, device=image.device) + 0.5) / side * 2.0 - 1.0
    x, y = (place * wide).unsqueeze(1).expand(-1, side, -1), (place * high).unsqueeze(2).expand(-1, -1, side)
    return F.grid_sample(image, torch.stack((x, y), dim=3), padding_mode="zeros", align_corners=False)
