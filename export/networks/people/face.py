"""`face`: the relief of the photo's faces on the body that `inflate` blows up."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from export.networks.people.faces import Faces
from export.networks.people.relief import Relief
from export.networks.shading import SIDE, SLOPE

STEEPER = 1.4  # a face is drawn this much deeper than it is: the body beside it is, too
STEEPEST = 1.3  # slope that the sides of a nose approach: steeper ones have a hard edge in a low light
KEPT = 0.2  # of the body's own slopes within a face: the head as a whole
REACH = 0.04  # of a face's crop: width of its blur
DOUBTFUL, SURE = 0.2, 0.4  # probabilities of a face from which it begins to show, and shows fully
RIM, INSIDE = 0.3, 0.9  # coverage where a face begins to take the body's place, and where it has taken it


class Face(Inflate):
    """`inflate`, with the slopes of the two most prominent faces in place of its own where they cover the photo.

    Slopes are blended, not heights: a step between a face's heights and the body's would be a seam in the light.
    Without a face the slopes are those of `inflate`, bit by bit; what casts shadows always is.
    """

    def __init__(self, patterns: PatternBank, cast: float = 0.0) -> None:
        """As every shadow network; the faces' weights ship with the project."""
        super().__init__(patterns, cast)
        self.faces = Faces()
        self.relief = Relief(self.faces.mesh.triangles)

    def surface(self, pixels: Tensor, alpha: Tensor, mask: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
        """Find the body's slopes and put the faces' in."""
        body, caster = super().surface(pixels, alpha, mask, aspect)
        points, side, seen = self.faces(pixels.float() / 255.0, aspect)
        strength = ((seen - DOUBTFUL) / (SURE - DOUBTFUL)).clamp(0.0, 1.0)
        slope, cover = self.relief(points, REACH * side, strength, aspect)
        share = ((cover - RIM) / (INSIDE - RIM)).clamp(0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        steep = torch.sqrt(1.0 + (slope[:, :1] ** 2 + slope[:, 1:] ** 2) / STEEPEST**2)
        slope = slope / steep
        small = torch.cat((slope * share * (STEEPER / SLOPE), share), dim=1)
        face = F.interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return body * (1.0 - (1.0 - KEPT) * face[:, 2:]) + face[:, :2], caster
