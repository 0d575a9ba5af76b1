"""Light on a height field: normals, ambient + Lambert, Blinn-Phong specular; what every shadow network ends in."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contract.light import position
from export.networks.filters import spatial_mean
from export.networks.pattern_bank import PatternBank

SIDE = 518
# Standard deviation of the height in photo heights at relief 1. A hemisphere as wide as half the photo has 0.06; four
# times that turns faces visibly toward or away from the light.
SLOPE = 0.24

MARCH = (0.01, 0.02, 0.035, 0.055, 0.08, 0.11, 0.15, 0.20, 0.26, 0.33)  # distances toward the light, photo heights
SOFTNESS = 0.5  # width of a penumbra per distance from what casts it
MARCH_SIDE = 128  # cast shadows are soft: this resolution is enough


class Shadow(nn.Module, ABC):
    """The stage `shadow`: a height field, which each network finds in its own way, and the light on it."""

    def __init__(self, patterns: PatternBank, cast: float = 0.0) -> None:
        """Take what shapes the light.

        Args:
            patterns: the shadow patterns that LIGHT's ids choose from.
            cast: strength of cast shadows: 0 none, 1 no direct light in them.
        """
        super().__init__()
        self.patterns, self.cast = patterns, cast

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

    def forward(self, shadow_pixels: Tensor, alpha: Tensor, aspect: Tensor, light: Tensor, scene: Tensor) -> Tensor:
        """Light a batch of photos.

        Args:
            shadow_pixels: uint8 [B,3,518,518], sRGB.
            alpha: float32 [B,1,288,288], 0–1.
            aspect: float32 [B,1], width ÷ height of the photo.
            light: float32 [B,K,16].
            scene: float32 [B,K,32].

        Returns:
            shading float16 [B,K,2,518,518], linear light: diffuse × pattern, specular × pattern.
        """
        mask = F.interpolate(alpha, (SIDE, SIDE), mode="bilinear", align_corners=False)
        height, caster = self.heights(shadow_pixels, alpha, mask)
        visible = 1.0 - self.cast * cast_shadows(caster, light, scene, aspect) if self.cast else None
        diffuse, specular = shade(slopes(height, aspect), light, scene, visible)
        pattern = self.patterns(light, aspect)
        return torch.stack((diffuse * pattern, specular * pattern), dim=2).half()


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


def shade(slope: Tensor, light: Tensor, scene: Tensor, visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Light a surface with K lights.

    diffuse = a + i·max(0, n·l) with n = normalize(−relief·z_x, −relief·z_y, 1), ambient a and intensity i;
    specular = s·max(0, n·h)^shininess, h halfway between light and camera (Blinn, 1977), none where n·l < 0.

    Args:
        slope: float [B,2,H,W], gradient of the standardised height.
        light: float [B,K,16], the contract's LIGHT.
        scene: float [B,K,32], the contract's SCENE.
        visible: float [B,K,H,W] in 0–1, how much of each light reaches a point; None where all does.

    Returns:
        diffuse and specular, float [B,K,H,W] each, linear light.
    """
    batch, lights = light.shape[0], light.shape[1]
    direction = normalise(light[:, :, 0:3])
    intensity, specular, shininess = (number(light, name) for name in ("intensity", "specular", "shininess"))
    ambient, relief = number(scene, "ambient"), number(scene, "relief")
    steepness = relief * SLOPE
    normal_x, normal_y = -slope[:, 0:1] * steepness, -slope[:, 1:2] * steepness
    length = torch.sqrt(normal_x * normal_x + normal_y * normal_y + 1.0)

    def facing(vector: Tensor) -> Tensor:
        x, y, z = (vector[:, :, index].reshape(batch, lights, 1, 1) for index in range(3))
        return ((normal_x * x + normal_y * y + z) / length).clamp(min=0.0)

    lambert = facing(direction) if visible is None else facing(direction) * visible
    # The camera is at (0, 0, 1). As a tensor it would come from the host with every batch, and a GPU would wait for it.
    halfway = normalise(torch.cat((direction[:, :, :2], direction[:, :, 2:] + 1.0), dim=2))
    highlight = torch.pow(facing(halfway).clamp(min=1e-4), shininess.clamp(min=1.0))
    lit = (lambert * 20.0).clamp(max=1.0)  # fades in at grazing light rather than cutting
    return ambient + intensity * lambert, specular * highlight * lit


def number(rows: Tensor, name: str) -> Tensor:
    """One number of each row of LIGHT or SCENE, float [B,K,·]; float [B,K,1,1]."""
    return rows[:, :, position(name)].reshape(rows.shape[0], rows.shape[1], 1, 1)


def normalise(vector: Tensor) -> Tensor:
    """Scale float [B,K,3] to length 1; zero stays zero."""
    x, y, z = vector.chunk(3, dim=2)
    # A clamp, since the exporter drops an added 1e-12 as if it were zero.
    return vector / torch.sqrt(x * x + y * y + z * z).clamp(min=1e-6)


def cast_shadows(height: Tensor, light: Tensor, scene: Tensor, aspect: Tensor) -> Tensor:
    """Shadows that the surface casts on itself, by marching the height field toward each light.

    A point is dark by how far the surface stands above the ray to the light, counted in penumbra widths, which grow
    with the distance to what stands there.

    Args:
        height: float [B,1,H,W], standardised.
        light: float [B,K,16].
        scene: float [B,K,32].
        aspect: float [B,1], width ÷ height.

    Returns:
        float [B,K,H,W] in 0–1: 1 in full shadow.
    """
    batch, lights = light.shape[0], light.shape[1]
    count = batch * lights
    direction = normalise(light[:, :, 0:3]).reshape(count, 3, 1, 1)
    relief = number(scene, "relief").reshape(count, 1, 1, 1)
    small = F.interpolate(height, (MARCH_SIDE, MARCH_SIDE), mode="bilinear", align_corners=False) * SLOPE
    field = small.expand(batch, lights, MARCH_SIDE, MARCH_SIDE).reshape(count, 1, MARCH_SIDE, MARCH_SIDE) * relief
    level = torch.sqrt(direction[:, 0:1] ** 2 + direction[:, 1:2] ** 2 + 1e-6)
    climb = direction[:, 2:3] / level
    wide = aspect.expand(batch, lights).reshape(count, 1, 1, 1)
    step_x, step_y = direction[:, 0:1] / level / wide, direction[:, 1:2] / level
    centres = ((torch.arange(MARCH_SIDE) + 0.5) / MARCH_SIDE).to(light)
    shadow = torch.zeros_like(field)
    for distance in MARCH:
        x = centres.reshape(1, 1, 1, -1) + distance * step_x + torch.zeros_like(field)
        y = centres.reshape(1, 1, -1, 1) + distance * step_y + torch.zeros_like(field)
        grid = torch.stack((x[:, 0], y[:, 0]), dim=3) * 2.0 - 1.0
        there = F.grid_sample(field, grid, mode="bilinear", padding_mode="border", align_corners=False)
        above = there - field - distance * climb
        shadow = torch.maximum(shadow, (above / (SOFTNESS * distance)).clamp(0.0, 1.0))
    small_shadow = shadow.reshape(batch, lights, MARCH_SIDE, MARCH_SIDE)
    return F.interpolate(small_shadow, height.shape[2:], mode="bilinear", align_corners=False)
