"""The stage `shadow`: a height field, which each network finds in its own way, and the light on it."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contract.light import BACKGROUNDS, position
from export.networks.cast_shadows import visibility
from export.networks.filters import spatial_mean
from export.networks.illumination import illuminate, normals
from export.networks.pattern_bank import PatternBank

SIDE = 518
EDGE = 8.0  # slope of the cut where the person ends and a backdrop's plane begins, per unit of alpha


class Shadow(nn.Module, ABC):
    """Finds a surface, and lights K pictures of it."""

    def __init__(self, patterns: PatternBank) -> None:
        """Take the shadow patterns that LIGHT's ids choose from."""
        super().__init__()
        self.patterns = patterns

    @abstractmethod
    def heights(self, pixels: Tensor, alpha: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Find the height field; a network defines this.

        Args:
            pixels: uint8 [B,3,518,518], sRGB.
            alpha: float32 [B,1,288,288], 0–1.
            mask: alpha enlarged, float32 [B,1,518,518].

        Returns:
            the heights that give the normals, and those that cast shadows: float [B,1,518,518], near = high, mean 0 and
            standard deviation 1 within the mask.
        """

    def surface(self, pixels: Tensor, alpha: Tensor, mask: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
        """Find the slopes that give the normals, and the heights that cast shadows; `heights` gives both.

        Takes what `heights` takes, and aspect, float32 [B,1]. Returns float [B,2,518,518], as from `slopes`, and float
        [B,1,518,518].
        """
        height, caster = self.heights(pixels, alpha, mask)
        return slopes(height, aspect), caster

    def forward(
        self, shadow_pixels: Tensor, alpha: Tensor, aspect: Tensor, light: Tensor, scene: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Light a batch of photos.

        Args:
            shadow_pixels: uint8 [B,3,518,518], sRGB.
            alpha: float32 [B,1,288,288], 0–1.
            aspect: float32 [B,1], width ÷ height of the photo.
            light: float32 [B,K,L,16].
            scene: float32 [B,K,32].

        Returns:
            shading float16 [B,K,6,518,518], linear light: diffuse and specular red, green, blue · normal float16
            [B,3,518,518] of the first picture, unit length, +x right, +y down, +z toward the camera · height float16
            [B,1,518,518], near = high, in standard deviations within the mask.
        """
        mask = F.interpolate(alpha, (SIDE, SIDE), mode="bilinear", align_corners=False)
        slope, height = self.surface(shadow_pixels, alpha, mask, aspect)
        relief = scene[:, :, position("relief")]
        pattern = self.patterns(light[:, :, 0], aspect)
        share = light[:, :, 0, position("pattern_ambient")].unsqueeze(2).unsqueeze(3)
        diffuse, specular = illuminate(
            slope * on_backdrop(mask, scene),
            light,
            scene,
            reach=through_first(pattern, enlarge(visibility(height, light, relief, aspect))),
            shade=1.0 - share * (1.0 - pattern),
        )
        shading = torch.cat((diffuse.half(), specular.half()), dim=2)
        return shading, torch.cat(normals(slope, relief[:, :1]), dim=1).half(), height.half()


def on_backdrop(mask: Tensor, scene: Tensor) -> Tensor:
    """0 outside of the person, where the background is a plane under the same light, and 1 elsewhere.

    Takes the mask, float [B,1,H,W] in 0–1, and SCENE, float [B,K,32], whose first picture counts; float [B,1,H,W].
    """
    relit = scene[:, 0, position("background")].round() == BACKGROUNDS.index("relit")
    outside = (0.5 - (mask - 0.5) * EDGE).clamp(0.0, 1.0)
    return 1.0 - outside * relit.to(mask.dtype).reshape(-1, 1, 1, 1)


def through_first(pattern: Tensor, visible: Tensor) -> Tensor:
    """What is visible of each source, float [B,K,L,H,W], of the first through its pattern, float [B,K,H,W]."""
    return torch.cat((visible[:, :, :1] * pattern.unsqueeze(2), visible[:, :, 1:]), dim=2)


def enlarge(visible: Tensor) -> Tensor:
    """Enlarge float [B,K,L,·,·] to [B,K,L,518,518]."""
    whole = F.interpolate(visible.flatten(1, 2), (SIDE, SIDE), mode="bilinear", align_corners=False)
    return whole.reshape(*visible.shape[:3], SIDE, SIDE)


def standardise(height: Tensor, mask: Tensor) -> Tensor:
    """Shift and scale float [B,1,H,W] to mean 0 and standard deviation 1 within the mask (0–1, same shape)."""
    weight = mask / spatial_mean(mask).clamp(min=1e-5)
    centred = height - spatial_mean(height * weight)
    variance = spatial_mean(centred * centred * weight)
    return centred / torch.sqrt(variance + 1e-6)


def slopes(height: Tensor, aspect: Tensor) -> Tensor:
    """Gradient of height per photo height, float [B,2,H,W] (x, y), by central differences.

    The photo is squashed to a square: `aspect` [B,1] (width ÷ height) restores the true length of a step in x.
    """
    padded = F.pad(height, (1, 1, 1, 1), mode="replicate")
    x = (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]) * (0.5 * height.shape[3])
    y = (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]) * (0.5 * height.shape[2])
    return torch.cat((x / aspect.reshape(-1, 1, 1, 1).clamp(min=0.01), y), dim=1)
