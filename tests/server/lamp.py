"""The smallest network whose every dimension varies: it compiles in seconds where a stage's own takes minutes."""

import torch
from torch import Tensor, nn

from contract.light import position


class Lamp(nn.Module):
    """`shadow` without geometry: each picture is the photo's gray in the colour of its sources."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.75))

    def forward(
        self, pixels: Tensor, alpha: Tensor, aspect: Tensor, light: Tensor, scene: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        gray = pixels.float().mean(1, keepdim=True) / 255.0
        red, specular = position("color_red"), position("specular")
        color = light[..., red : red + 3] * light[..., position("intensity")].unsqueeze(3)
        # The first source apart from the rest, as networks treat it: a compiler may take the rest for several.
        shine = torch.cat((light[:, :, :1, specular] * 2.0, light[:, :, 1:, specular]), dim=2)
        strength = torch.cat((color.sum(2), (color * shine.unsqueeze(3)).sum(2)), dim=2)
        relief = scene[:, :, position("relief")].reshape(*scene.shape[:2], 1, 1, 1)
        shading = strength.unsqueeze(3).unsqueeze(4) * gray.unsqueeze(1) * self.gain + relief
        flat = torch.zeros_like(gray)
        return (
            shading.half(),
            torch.cat((flat, flat, flat + 1.0), dim=1).half(),
            (gray * aspect[:, :, None, None]).half(),
        )
