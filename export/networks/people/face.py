"""`face`: the relief of the photo's faces on the body that `inflate` blows up."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.illumination import SLOPE
from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from export.networks.people.faces import Faces
from export.networks.people.relief import Relief
from export.networks.shading import SIDE

STEEPER = 1.4  # a face is drawn this much deeper than it is: the body beside it is, too
STEEPEST = 1.3  # slope that the sides of a nose approach: steeper ones have a hard edge in a low light
KEPT = 0.2  # of the body's own slopes within a face: the head as a whole
REACH = 0.04  # of a face's crop: width of its blur
DOUBTFUL, SURE = 0.2, 0.4  # probabilities of a face from which it begins to show, and shows fully
RIM, INSIDE = 0.3, 0.9  # coverage where a face begins to take the body's place, and where it has taken it


class Face(Inflate):
    """`inflate`, with the slopes of the two most prominent faces in place of its own where they cover the photo.

    Slopes are blended, not heights: a step between a face's heights and the body's would be a seam in the light. The
    heights, which cast shadows (a nose on its cheek), are put in around the body's own mean height in the face. Without
    a face both are those of `inflate`, bit by bit.
    """

    def __init__(self, patterns: PatternBank) -> None:
        """As every shadow network; the faces' weights ship with the project."""
        super().__init__(patterns)
        self.faces = Faces()
        self.relief = Relief(self.faces.mesh.triangles)

    def surface(self, pixels: Tensor, alpha: Tensor, mask: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
        """Find the body's slopes and put the faces' in."""
        slope, height = super().surface(pixels, alpha, mask, aspect)
        points, side, seen = self.faces(pixels.float() / 255.0, aspect)
        strength = ((seen - DOUBTFUL) / (SURE - DOUBTFUL)).clamp(0.0, 1.0)
        raised = STEEPER / SLOPE * (points[..., 2:] - points[..., 2:].mean(2, keepdim=True))
        raised = raised + (1.0 - KEPT) * level(height, points, aspect)
        drawn, z, cover = self.relief(points, raised, REACH * side, strength, aspect)
        share = ((cover - RIM) / (INSIDE - RIM)).clamp(0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        steep = torch.sqrt(1.0 + (drawn[:, :1] ** 2 + drawn[:, 1:] ** 2) / STEEPEST**2)
        small = torch.cat((drawn / steep * share * (STEEPER / SLOPE), z * share, share), dim=1)
        face = F.interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False)
        kept = 1.0 - (1.0 - KEPT) * face[:, 3:]
        return slope * kept + face[:, :2], height * kept + face[:, 2:3]


def level(height: Tensor, points: Tensor, aspect: Tensor) -> Tensor:
    """The mean of float [B,1,S,S] at the points of each face, float [B,F,N,3] in photo heights; float [B,F,1,1]."""
    wide = aspect.clamp(min=0.01).reshape(-1, 1, 1, 1)
    grid = torch.cat((points[..., :1] / wide, points[..., 1:2]), dim=3) * 2.0 - 1.0
    found = F.grid_sample(height, grid, padding_mode="border", align_corners=False)
    return found.mean(3).transpose(1, 2).unsqueeze(3)
