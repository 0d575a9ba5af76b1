"""`delight`: albedo from a photo whose light is measured on the skin of its face and divided out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.colour import decoding_table, look_up
from export.networks.filters import GuidedFilter, cells, gaussian_matrix, halve, spatial_mean
from export.networks.people.faces import Faces
from export.networks.people.relief import SIDE as FACE_CELLS
from export.networks.people.relief import Relief
from export.networks.people.skin_light import skin_light
from export.networks.retinex import luminance, residual

SIDE = 768
REACH = 0.04  # of the face's crop: width of the normals' blur
DOUBTFUL, SURE = 0.2, 0.4  # probabilities of a face from which its light counts
RIM, INSIDE = 0.3, 0.9  # coverage where a face begins, and where nothing else counts
AROUND = 5.0  # cells: how far from a face its light is believed
HARDLY = 0.2  # coverage near which the face's light is half believed
FAINTEST, BRIGHTEST = 0.6, 1.8  # times the photo


class Delight(nn.Module):
    """Two lights divided out: on the face the one fitted to its skin, everywhere what a smooth Retinex takes for light.

    The Retinex is single-scale, its surround a guided filter's so that edges throw no halos, and only the fourth root
    of what it says is believed: a dark coat is dark cloth before it is shade. One face is looked for.
    """

    decoding: Tensor
    around: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.faces = Faces(count=1)
        self.relief = Relief(self.faces.mesh.triangles)
        self.register_buffer("decoding", decoding_table(), persistent=False)
        around = gaussian_matrix(AROUND, FACE_CELLS, 1, FACE_CELLS, "replicate")
        self.register_buffer("around", around, persistent=False)

    def forward(self, albedo_pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Remove the light from a batch of photos.

        Args:
            albedo_pixels: uint8 [B,3,768,768], sRGB.

        Returns:
            albedo float16 [B,3,768,768], linear light, 0–1 · residual float32 [B,1], mean |I − A·S| in linear light
            for the best smooth gray shading S.
        """
        photo = look_up(self.decoding, albedo_pixels.to(torch.int32))
        encoded = halve(albedo_pixels.float()) / 255.0
        small = cells(photo, 4)
        gain = surround_gain(small, halve(encoded)) * self.enlarge(self.face_gain(luminance(small), encoded))
        gain = F.interpolate(gain, (SIDE, SIDE), mode="bilinear", align_corners=False)
        albedo = (photo * gain).clamp(max=1.0)
        return albedo.half(), residual(photo, albedo)

    def face_gain(self, light: Tensor, encoded: Tensor) -> Tensor:
        """One over the light on the face, and less and less of it around the face, float [B,1,112,112].

        Args:
            light: luminance, linear, float [B,1,192,192].
            encoded: float sRGB [B,3,384,384] in 0–1.
        """
        square = torch.ones_like(light[:, 0, 0, :1])  # the photo's true width is not known here
        points, side, seen = self.faces(encoded, square)
        strength = ((seen - DOUBTFUL) / (SURE - DOUBTFUL)).clamp(0.0, 1.0)
        slope, _, cover = self.relief(points, points[..., 2:], REACH * side, strength, square)
        cover = cover.clamp(max=1.0)
        here = F.interpolate(light, (FACE_CELLS, FACE_CELLS), mode="bilinear", align_corners=False)
        gain = 1.0 / skin_light(here, slope, cover)
        spread, mass = (self.around @ image @ self.around.T for image in (gain * cover, cover))
        outside = (spread + HARDLY) / (mass + HARDLY)
        share = ((cover - RIM) / (INSIDE - RIM)).clamp(0.0, 1.0)
        joined: Tensor = outside + share * (gain - outside)
        return joined

    def enlarge(self, image: Tensor) -> Tensor:
        """Resize float [B,1,112,112] to [B,1,192,192]."""
        return F.interpolate(image, (SIDE // 4, SIDE // 4), mode="bilinear", align_corners=False)


def surround_gain(photo: Tensor, encoded: Tensor) -> Tensor:
    """A quarter, in stops, of what evens the photo's surroundings out, float [B,1,192,192].

    Args:
        photo: linear, float [B,3,192,192] in 0–1.
        encoded: the same in sRGB.
    """
    surround = GuidedFilter(encoded, 16, 0.01)(luminance(photo)).clamp(min=0.0) + 0.02
    bright = spatial_mean(surround * surround) / spatial_mean(surround)  # the mean of what is bright stays as it is
    gain = torch.sqrt(torch.sqrt(bright / surround))
    return gain.clamp(FAINTEST, BRIGHTEST)
