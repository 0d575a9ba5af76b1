"""Light on a height field: normals, ambient + Lambert, Blinn-Phong specular."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.filters import spatial_sum

# Standard deviation of the height in photo heights at relief 1. A hemisphere as wide as half the photo has 0.06; the
# triple turns faces visibly toward or away from the light.
SLOPE = 0.18


def standardise(height: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale float [B,1,H,W] to mean 0 and standard deviation 1 within the mask (0–1, same shape)."""
    weight = mask / spatial_sum(mask).clamp(min=1.0)
    centred = height - spatial_sum(height * weight)
    variance = spatial_sum(centred * centred * weight)
    return centred / torch.sqrt(variance + 1e-6)


def slopes(height: Tensor, aspect: Tensor) -> Tensor:
    """Gradient of height per photo height, float [B,2,H,W] (x, y), by central differences.

    The photo is squashed to a square: `aspect` [B,1] (width ÷ height) restores the true length of a step in x.
    """
    padded = F.pad(height, (1, 1, 1, 1), mode="replicate")
    x = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) * (0.5 * height.shape[3])
    y = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) * (0.5 * height.shape[2])
    return torch.cat((x / aspect.reshape(-1, 1, 1, 1), y), dim=1)


def shade(slope: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Light a surface with K lights.

    diffuse = a + (1 − a)·max(0, n·l) with n = normalize(−relief·z_x, −relief·z_y, 1) and ambient a;
    specular = s·max(0, n·h)^shininess, h halfway between light and camera (Blinn, 1977), none where n·l < 0.

    Args:
        slope: float [B,2,H,W], gradient of the standardised height.
        light: float [B,K,16], the contract's LIGHT.

    Returns:
        diffuse and specular, float [B,K,H,W] each, linear light.
    """
    batch, lights = light.shape[0], light.shape[1]
    direction = light[:, :, 0:3] / torch.sqrt((light[:, :, 0:3] ** 2).sum(2, keepdim=True) + 1e-12)
    ambient, relief, specular, shininess = (
        light[:, :, index].reshape(batch, lights, 1, 1) for index in (3, 4, 5, 6)
    )
    steepness = relief * SLOPE
    normal_x, normal_y = -slope[:, 0:1] * steepness, -slope[:, 1:2] * steepness
    length = torch.sqrt(normal_x * normal_x + normal_y * normal_y + 1.0)

    def facing(vector: Tensor) -> Tensor:
        x, y, z = (vector[:, :, index].reshape(batch, lights, 1, 1) for index in range(3))
        return ((normal_x * x + normal_y * y + z) / length).clamp(min=0.0)

    lambert = facing(direction)
    camera = torch.tensor([0.0, 0.0, 1.0]).to(light)
    halfway = direction + camera
    halfway = halfway / torch.sqrt((halfway * halfway).sum(2, keepdim=True) + 1e-12)
    highlight = torch.exp(shininess * torch.log(facing(halfway).clamp(min=1e-4)))
    lit = (lambert * 20.0).clamp(max=1.0)  # fades in at grazing light rather than cutting
    return ambient + (1.0 - ambient) * lambert, specular * highlight * lit
