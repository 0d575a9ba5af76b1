"""Light on a surface: an environment's irradiance, and several sources with Lambert's law and Blinn's highlights."""

from typing import TypeAlias

import torch
from torch import Tensor

from contract.light import CHANNELS, HARMONICS, position

# Standard deviation of the height in photo heights at relief 1. A hemisphere as wide as half the photo has NATURAL, and
# with it shadows have their true length. Four times that turns faces visibly toward or away from the light.
NATURAL = 0.06
SLOPE = 4.0 * NATURAL
Normal: TypeAlias = tuple[Tensor, Tensor, Tensor]
GRAZING = 0.05  # cosine up to which a highlight fades in, rather than being cut where the light grazes


def illuminate(slope: Tensor, light: Tensor, scene: Tensor, reach: Tensor, shade: Tensor) -> tuple[Tensor, Tensor]:
    """Light a surface for K pictures with L sources each.

    diffuse = E(n)·s + Σ cᵢ·iᵢ·rᵢ·max(0, n·lᵢ), specular = Σ cᵢ·iᵢ·rᵢ·kᵢ·max(0, n·hᵢ)^shininess with hᵢ halfway between
    source and camera (Blinn, 1977), none where n·lᵢ < 0. E is the environment, c colour, i intensity, k the share of it
    that is reflected.

    Args:
        slope: float [B,2,H,W], gradient of the standardised height.
        light: float [B,K,L,16], the contract's LIGHT.
        scene: float [B,K,32], the contract's SCENE.
        reach: float [B,K,L,H,W] in 0–1, how much of each source reaches a point.
        shade: float [B,K,H,W] in 0–1, how much of the environment does.

    Returns:
        diffuse and specular, float [B,K,3,H,W] each, linear light.
    """
    normal = normals(slope, scene[:, :, position("relief")])
    direction = normalise(light[..., 0:3])
    # The camera is at (0, 0, 1). As a tensor it would come from the host with every batch, and a GPU would wait for it.
    halfway = normalise(torch.cat((direction[..., :2], direction[..., 2:] + 1.0), dim=3))
    lambert = facing(normal, direction)
    exponent = of_source(light, "shininess").clamp(min=1.0)
    highlight = torch.pow(facing(normal, halfway).clamp(min=1e-4), exponent) * (lambert / GRAZING).clamp(max=1.0)

    red = position("color_red")
    strength = light[..., red : red + 3] * light[..., position("intensity")].unsqueeze(3)
    shine = strength * light[..., position("specular")].unsqueeze(3)
    ambient = irradiance(slope, normal[2], scene) * shade.unsqueeze(2)
    return ambient + total(strength, lambert * reach), total(shine, highlight * reach)


def irradiance(slope: Tensor, toward: Tensor, scene: Tensor) -> Tensor:
    """What a white surface returns of the environment, its irradiance ÷ π, never negative; float [B,K,3,H,W].

    The normal is (t·p, t·q, 1)·z with the slopes p and q and t = −relief·SLOPE. So the polynomials of the contract are
    s₀ − s₆ + z·(s₂ + s₃·t·p + s₁·t·q) + z²·(3s₆ + s₇·t·p + s₅·t·q + s₄·t²·p·q + s₈·t²·(p² − q²)): of the maps in them
    only z differs among the pictures.

    Args:
        slope: float [B,2,H,W].
        toward: z of the normals, float [B,K,H,W].
        scene: float [B,K,32].
    """
    batch, pictures, height, width = scene.shape[0], scene.shape[1], slope.shape[2], slope.shape[3]
    first = position("irradiance_0_red")
    coefficients = scene[:, :, first : first + len(HARMONICS) * len(CHANNELS)]
    s0, s1, s2, s3, s4, s5, s6, s7, s8 = coefficients.reshape(batch, pictures, len(HARMONICS), 3).unbind(2)
    t = scene[:, :, position("relief") : position("relief") + 1] * -SLOPE
    nothing = torch.zeros_like(s0)
    once = torch.stack((s2, s3 * t, s1 * t, nothing, nothing), dim=3)
    twice = torch.stack((3.0 * s6, s7 * t, s5 * t, s4 * t * t, s8 * t * t), dim=3)
    weights = torch.stack((once, twice), dim=1).reshape(batch, 2 * pictures * 3, 5)
    p, q = slope[:, 0:1], slope[:, 1:2]
    maps = torch.cat((torch.ones_like(p), p, q, p * q, (p - q) * (p + q)), dim=1)
    linear, square = (weights @ maps.flatten(2)).reshape(batch, 2, pictures, 3, height, width).unbind(1)
    z = toward.unsqueeze(2)
    return ((s0 - s6).unsqueeze(3).unsqueeze(4) + z * (linear + z * square)).clamp(min=0.0)


def normals(slope: Tensor, relief: Tensor) -> Normal:
    """Unit normals (−r·z_x, −r·z_y, 1) / length of each picture, float [B,K,H,W] each.

    +x is right, +y down, +z toward the camera. Takes the gradient of the standardised height, float [B,2,H,W], and the
    relief r, float [B,K].
    """
    steepness = relief.reshape(*relief.shape, 1, 1) * -SLOPE
    x, y = slope[:, 0:1] * steepness, slope[:, 1:2] * steepness
    short = 1.0 / torch.sqrt(x * x + y * y + 1.0)
    return x * short, y * short, short


def facing(normal: Normal, direction: Tensor) -> Tensor:
    """The cosine between each normal, float [B,K,H,W] each, and direction, float [B,K,L,3]; 0 beyond a right angle.

    Element by element, which rounds alike whatever the number of pictures; float [B,K,L,H,W].
    """
    x, y, z = (part.unsqueeze(3).unsqueeze(4) for part in direction.unbind(3))
    across, down, toward = (part.unsqueeze(2) for part in normal)
    return (across * x + down * y + toward * z).clamp(min=0.0)


def total(weights: Tensor, maps: Tensor) -> Tensor:
    """The sums of N maps, float [B,K,N,H,W], with three weights each, float [B,K,N,3]; float [B,K,3,H,W]."""
    height, width = maps.shape[3], maps.shape[4]
    sums = weights.transpose(2, 3) @ maps.flatten(3)
    return sums.reshape(*sums.shape[:3], height, width)


def of_source(light: Tensor, name: str) -> Tensor:
    """One number of each source of LIGHT, float [B,K,L,16]; float [B,K,L,1,1]."""
    return light[..., position(name)].unsqueeze(3).unsqueeze(4)


def normalise(vector: Tensor) -> Tensor:
    """Scale float [B,K,L,3] to length 1; zero stays zero."""
    x, y, z = vector.unbind(3)
    # A clamp, since the exporter drops an added 1e-12 as if it were zero.
    return vector / torch.sqrt(x * x + y * y + z * z).clamp(min=1e-6).unsqueeze(3)
