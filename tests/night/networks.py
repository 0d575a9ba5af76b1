"""Networks that let a photo through as it is, so that what comes out of the server shows what went in."""

import torch
from torch import Tensor, nn


class Everything(nn.Module):
    """`segment`: all of every photo is a person."""

    def forward(
        self, segment_pixels: Tensor, tokens: Tensor, token_mask: Tensor, thresholds: Tensor, aspect: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Stage `segment`'s tensors in and out."""
        one = torch.ones_like(aspect)
        corners = torch.cat((one - one, one - one, one, one), dim=1)
        return one.reshape(-1, 1, 1, 1).expand(-1, 1, 288, 288).clone(), one, corners, one.to(torch.int32)


class Photo(nn.Module):
    """`albedo`: the photo itself, decoded with a plain power."""

    def forward(self, albedo_pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Stage `albedo`'s tensors in and out."""
        linear = torch.pow(albedo_pixels.float() / 255.0, 2.2)
        return linear.half(), linear[:, 0, 0, :1] * 0.0


class Ambient(nn.Module):
    """`shadow`: the ambient light alone, the same everywhere."""

    def forward(self, shadow_pixels: Tensor, alpha: Tensor, aspect: Tensor, light: Tensor, scene: Tensor) -> Tensor:
        """Stage `shadow`'s tensors in and out."""
        diffuse = scene[:, :, :1].reshape(scene.shape[0], scene.shape[1], 1, 1, 1)
        return torch.cat((diffuse, diffuse * 0.0), dim=2).expand(-1, -1, 2, 518, 518).half()
