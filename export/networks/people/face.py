"""`face`: the relief of the photo's faces on the body that `inflate` blows up."""

import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks.illumination import NATURAL, SLOPE
from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from export.networks.people.faces import Faces
from export.networks.people.relief import Relief
from export.networks.shading import SIDE

STEEPER = 1.4  # a face is drawn this much deeper than it is: the body beside it is, too
STEEPEST = 1.3  # slope that the sides of a nose approach: steeper ones have a hard edge in a low light
KEPT = 0.2  # of the body's own slopes within a face: the head as a whole
DIFFUSION = 24  # steps over a mesh's edges that are a nose's surroundings
RINGS = 5  # of points, over which a face's features begin at its rim
REACH = 0.04  # of a face's crop: width of its blur
DOUBTFUL, SURE = 0.2, 0.4  # probabilities of a face from which it begins to show, and shows fully
RIM, INSIDE = 0.3, 0.9  # coverage where a face begins to take the body's place, and where it has taken it


class Face(Inflate):
    """`inflate`, with the slopes of the two most prominent faces in place of its own where they cover the photo.

    Slopes are blended, not heights: a step between a face's heights and the body's would be a seam in the light. What
    casts shadows is the body with the faces' features on it. Without a face all is that of `inflate`, bit by bit.
    """

    features: Tensor

    def __init__(self, patterns: PatternBank) -> None:
        """As every shadow network; the faces' weights ship with the project."""
        super().__init__(patterns)
        self.faces = Faces()
        self.relief = Relief(self.faces.mesh.triangles)
        self.register_buffer("features", features(self.faces.mesh.triangles), persistent=False)

    def surface(self, pixels: Tensor, alpha: Tensor, mask: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
        """Find the body's slopes and put the faces' in."""
        slope, height = super().surface(pixels, alpha, mask, aspect)
        points, side, seen = self.faces(pixels.float() / 255.0, aspect)
        strength = ((seen - DOUBTFUL) / (SURE - DOUBTFUL)).clamp(0.0, 1.0)
        raised = STEEPER / NATURAL * (self.features @ points[..., 2:])
        drawn, z, cover = self.relief(points, raised, REACH * side, strength, aspect)
        share = ((cover - RIM) / (INSIDE - RIM)).clamp(0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        steep = torch.sqrt(1.0 + (drawn[:, :1] ** 2 + drawn[:, 1:] ** 2) / STEEPEST**2)
        small = torch.cat((drawn / steep * share * (STEEPER / SLOPE), z * share, share), dim=1)
        face = F.interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False)
        kept = 1.0 - (1.0 - KEPT) * face[:, 3:]
        return slope * kept + face[:, :2], height + face[:, 2:3]


def features(triangles: Tensor) -> Tensor:
    """How far each point of a mesh, int64 [T,3], stands out of its wider surroundings: a matrix for the points' z.

    The surroundings are DIFFUSION steps over the mesh's edges; towards its rim, where they are cut off, nothing stands
    out. Float32 [N,N].
    """
    count = int(triangles.max()) + 1
    joined = torch.eye(count, dtype=torch.float64)
    for first, second in ((0, 1), (1, 2), (2, 0)):
        joined[triangles[:, first], triangles[:, second]] += 1.0
    ways = joined + joined.T
    around = ((ways > 0.0).double() / (ways > 0.0).sum(1, keepdim=True)).matrix_power(DIFFUSION)
    # An edge of one triangle alone is on the rim.
    on_rim = ((ways == 1.0).sum(1, keepdim=True) > 0).double()
    near = (ways > 0.0).double()
    share = torch.zeros(count, 1, dtype=torch.float64)
    for _ in range(RINGS):
        share += (1.0 - on_rim) / RINGS
        on_rim = ((near @ on_rim) > 0.0).double()
    return (share * (torch.eye(count, dtype=torch.float64) - around)).float()
