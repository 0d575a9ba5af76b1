"""Keeps Marigold's feature maps in channels-last memory format, which tensor cores' convolutions read and write."""

from typing import Any

import diffusers
import torch
from torch import Tensor

library: Any = diffusers  # loads its classes late; a type checker sees placeholders
Transformer: Any = library.Transformer2DModel


def keep_channels_last(network: Any) -> None:
    """Lay out a UNet's or an autoencoder's convolutions in channels last, in place; the values stay the same.

    Convolutions and most other operations give the memory format that they find. What copies to channels first without
    need is replaced.
    """
    network.to(memory_format=torch.channels_last)
    for module in network.modules():
        if type(module) is Transformer and module.use_linear_projection:
            module.__class__ = ChannelsLastTransformer  # the same weights and settings, another end


class ChannelsLastTransformer(Transformer):  # type: ignore[misc]  # its base is a placeholder
    """diffusers' Transformer2DModel without its copy to channels first at the end."""

    def _get_output_for_continuous_inputs(
        self, hidden_states: Tensor, residual: Tensor, batch_size: int, height: int, width: int, inner_dim: int
    ) -> Tensor:
        rows: Tensor = self.proj_out(hidden_states).reshape(batch_size, height, width, inner_dim)
        return rows.permute(0, 3, 1, 2) + residual
