"""Draws the slopes and heights of face meshes, smooth where a rasteriser would show triangles."""

import torch
from torch import Tensor, nn

SIDE = 112  # cells across the photo
LEAST_REACH = 2.0  # cells
WINDOW_AREA = (32.0 / 35.0) ** 2  # integral of a window that reaches 1 in both directions


class Relief(nn.Module):
    """Every triangle that faces the camera spreads its normal over a small window; a cell takes what reaches it.

    Normals are as long as their triangles are large, so that this is the mesh's normals blurred with the window's
    shape. Windows are products of a function of x and one of y: drawing is one matrix product, whatever the faces'
    places and sizes.
    """

    places: Tensor
    triangles: Tensor

    def __init__(self, triangles: Tensor) -> None:
        """Take the mesh's topology, int64 [T,3]."""
        super().__init__()
        self.register_buffer("triangles", triangles, persistent=False)
        self.register_buffer("places", (torch.arange(SIDE) + 0.5) / SIDE, persistent=False)

    def forward(
        self, points: Tensor, heights: Tensor, reach: Tensor, strength: Tensor, aspect: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the faces of each photo.

        Args:
            points: float [B,F,N,3] in photo heights, x from 0 to aspect, z towards the camera.
            heights: float [B,F,N,1], what is drawn beside the slopes.
            reach: float [B,F,1], half the width of a window in photo heights.
            strength: float [B,F,1] in 0–1; 0 draws nothing.
            aspect: float [B,1], width ÷ height of the photo.

        Returns:
            slopes ∂z/∂x and ∂z/∂y, float [B,2,112,112], 0 where no face is · the heights, float [B,1,112,112], 0 there
            too · how far a cell is covered, float [B,1,112,112], about 1 within a face and one half at its rim.
        """
        batch, faces = points.shape[0], points.shape[1]
        index = self.triangles.reshape(1, 1, -1, 1).expand(batch, faces, -1, 3)
        first, second, third = points.gather(2, index).reshape(batch, faces, -1, 3, 3).unbind(3)
        height = heights.gather(2, index[..., :1]).reshape(batch, faces, -1, 3).mean(3)
        (ax, ay, az), (bx, by, bz) = (third - first).unbind(3), (second - first).unbind(3)
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        x, y, _ = ((first + second + third) / 3.0).unbind(3)
        # A large triangle reaches as far as its neighbours' centres.
        reach = torch.maximum(reach, torch.sqrt(nz.abs()))
        reach_x = torch.maximum(reach, LEAST_REACH / SIDE * aspect.unsqueeze(2))
        reach_y = reach.clamp(min=LEAST_REACH / SIDE)
        window_x = window((self.places * aspect.unsqueeze(2)).unsqueeze(2) - x.unsqueeze(3), reach_x.unsqueeze(3))
        window_y = window(self.places.reshape(1, 1, 1, -1) - y.unsqueeze(3), reach_y.unsqueeze(3))
        # A normal's z is twice the area: in the middle of a face the weights add up to 1. The back is left out.
        scale = (nz > 0.0).float() * strength / (2.0 * WINDOW_AREA * reach_x * reach_y)
        columns = [(part * scale).unsqueeze(3) * window_x for part in (nx, ny, nz * height, nz)]  # each [B,F,T,112]
        spread = torch.cat(columns, dim=3).reshape(batch, -1, 4 * SIDE)
        drawn = window_y.reshape(batch, -1, SIDE).transpose(1, 2) @ spread  # [B,112,4·112]
        nx, ny, raised, nz = drawn.reshape(batch, SIDE, 4, SIDE).transpose(1, 2).chunk(4, dim=1)
        weight = nz.clamp(min=1e-6)
        return -torch.cat((nx, ny), dim=1) / weight, raised / weight, nz


def window(away: Tensor, reach: Tensor) -> Tensor:
    """A bell (1 − t²)³ that ends at ±reach; made of products alone, which round alike in any batch."""
    ratio = away / reach
    inside = (1.0 - ratio * ratio).clamp(min=0.0)
    return inside * inside * inside
