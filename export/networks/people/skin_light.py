"""The light on a face, measured on its skin: spherical harmonics fitted to what the face mesh says of the normals."""

import torch
from torch import Tensor

ROUNDS = 3  # of the robust fit
NOISE = 0.12  # of the face's mean luminance: what differs more is an eyebrow, lips, or a highlight
RIDGE = 1e-2  # keeps a face that shows few directions from inventing a light
FAINTEST, BRIGHTEST = 0.3, 2.5  # times the mean light


def skin_light(luminance: Tensor, slope: Tensor, cover: Tensor) -> Tensor:
    """Fit light to the skin of a photo's face.

    Skin of one reflectance has luminance linear in the spherical harmonics of its normal (Basri and Jacobs, 2003; here
    those to first order, and of the second what tells front from side). What is not skin fits badly and is left out by
    reweighting.

    Args:
        luminance: linear, float [B,1,S,S].
        slope: ∂z/∂x and ∂z/∂y of the face, float [B,2,S,S].
        cover: where the face is, float [B,1,S,S] in 0–1.

    Returns:
        light relative to the face's mean, float [B,1,S,S] in 0.3 to 2.5; 1 where there is no face.
    """
    batch, side = luminance.shape[0], int(luminance.shape[3])
    nz = 1.0 / torch.sqrt(1.0 + slope[:, :1] ** 2 + slope[:, 1:] ** 2)
    nx, ny = -slope[:, :1] * nz, -slope[:, 1:] * nz
    basis = torch.cat((torch.ones_like(nz), nx, ny, nz - 0.8, nx * nx - ny * ny, nx * ny), dim=1)
    count = basis.shape[1]
    rows = basis.reshape(batch, count, side * side)
    weight = cover.reshape(batch, 1, side * side)
    target = luminance.reshape(batch, 1, side * side)
    ones = torch.ones_like(target)
    mean = dot(weight, target) / dot(weight, ones).clamp(min=1e-6)
    target = target / mean.clamp(min=1e-4)
    fitted = ones
    for _ in range(ROUNDS):
        error = (target - fitted) / NOISE
        robust = weight / (1.0 + error * error)
        total = dot(robust, ones).clamp(min=1.0)
        square = (rows * robust) @ rows.transpose(1, 2) / total
        right = (rows * robust) @ target.transpose(1, 2) / total
        fitted = solve(square, right).transpose(1, 2) @ rows
    relative = fitted / (dot(weight, fitted) / dot(weight, ones).clamp(min=1e-6)).clamp(min=1e-4)
    light = relative.clamp(FAINTEST, BRIGHTEST).reshape(batch, 1, side, side)
    return torch.where(cover > 0.0, light, torch.ones_like(light))


def dot(left: Tensor, right: Tensor) -> Tensor:
    """Sum of products of two float [B,1,N], [B,1,1]: a matrix product, whose order does not depend on the batch."""
    return left @ right.transpose(1, 2)


def solve(square: Tensor, right: Tensor) -> Tensor:
    """Solve a small positive system [B,n,n] · x = [B,n,1] by elimination, a ridge added to all but the constant."""
    count = int(square.shape[1])
    ridge = torch.eye(count, device=square.device) * RIDGE
    system = torch.cat((square + ridge, right), dim=2)
    for row in range(count):
        pivot = system[:, row : row + 1] / system[:, row : row + 1, row : row + 1]
        others = (torch.arange(count, device=square.device) != row).to(square.dtype).reshape(1, -1, 1)
        system = system - system[:, :, row : row + 1] * others * pivot - (1.0 - others) * (system - pivot)
    return system[:, :, count:]
