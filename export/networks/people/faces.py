"""Finds the most prominent faces of a photo and the 468 surface points of each."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.people import face_detector, face_mesh
from export.networks.people.face_detector import GRID, FaceDetector
from export.networks.people.face_mesh import SURFACE, FaceMesh
from export.networks.people.letterbox import letterbox
from export.networks.people.shipped import load_shipped

FACES = 2
CROP = 1.6  # times the detector's box: the mesh wants the whole head
NOTHING = -100.0  # a logit


class Faces(nn.Module):
    """The detector, a crop around each of its best places, and the mesh in each crop; nothing depends on a count.

    Lengths are in photo heights: x from 0 to `aspect`, y from 0 to 1, z towards the camera.
    """

    centres: Tensor
    across: Tensor

    def __init__(self, count: int = FACES) -> None:
        """Load both networks; `count` is the number F of faces that is looked for in every photo."""
        super().__init__()
        self.count = count
        self.detector = load_shipped(FaceDetector(), "face_detector")
        self.mesh = load_shipped(FaceMesh(), "face_mesh")
        place = (torch.arange(GRID) + 0.5) / GRID
        centres = torch.stack((place.repeat(GRID), place.repeat_interleave(GRID)), dim=1)
        self.register_buffer("centres", centres, persistent=False)
        across = (torch.arange(face_mesh.SIDE) + 0.5) / face_mesh.SIDE - 0.5
        self.register_buffer("across", across, persistent=False)

    def forward(self, photo: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find faces.

        Args:
            photo: float sRGB [B,3,S,S] in 0–1, squashed to a square.
            aspect: float [B,1], width ÷ height before that.

        Returns:
            points [B,F,468,3] · side [B,F,1] of each crop · probability [B,F,1] that the face is there, in 0–1.
        """
        aspect = aspect.clamp(min=0.01)
        logit, centre, side, eyes = self.detect(photo, aspect)
        # The eyes' direction without angles: nothing whose last bit depends on the batch.
        turn = eyes / torch.sqrt(eyes[:, :, :1] ** 2 + eyes[:, :, 1:] ** 2).clamp(min=1e-6)
        points, presence = self.mesh(self.cut(photo, aspect, centre, side, turn))
        seen = probability(logit.reshape(-1, 1)) * probability(presence)
        u, v, depth = (points[:, :SURFACE] / face_mesh.SIDE).reshape(-1, self.count, SURFACE, 3).unbind(3)
        x, y = rotate(u - 0.5, v - 0.5, turn[:, :, :1], turn[:, :, 1:])
        x, y = centre[:, :, :1] + side * x, centre[:, :, 1:] + side * y
        return torch.stack((x, y, -side * depth), dim=3), side, seen.reshape(-1, self.count, 1)

    def detect(self, photo: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logit [B,F,1], centre [B,F,2], side [B,F,1] of the crop, and from the right eye to the left [B,F,2]."""
        longer = aspect.clamp(min=1.0)
        half = F.interpolate(photo, scale_factor=0.5, mode="bilinear", align_corners=False)
        square = letterbox(half, aspect, face_detector.SIDE)
        logits, boxes = self.detector(square * 2.0 - 1.0)
        boxes = boxes / face_detector.SIDE
        size = boxes[:, :, 2]
        places = boxes[:, :, :2] + self.centres
        found = []
        for _ in range(self.count):
            # A large face before a small one that is as likely.
            rank = ((logits + 2.0) / 4.0).clamp(0.0, 1.0) * size.clamp(min=1e-3)
            best = rank.argmax(dim=1, keepdim=True)
            row = boxes.gather(1, best.unsqueeze(2).expand(-1, 1, 16)).squeeze(1)
            centre = row[:, :2] + self.centres.index_select(0, best.squeeze(1))
            found.append((logits.gather(1, best), centre, row[:, 2:4].amax(1, keepdim=True), row[:, 6:8] - row[:, 4:6]))
            distance = (places - centre.unsqueeze(1)).abs().amax(2)
            logits = torch.where(distance < 0.6 * row[:, 2:3], torch.full_like(logits, NOTHING), logits)
        logit, centre, side, eyes = (torch.stack(values, dim=1) for values in zip(*found, strict=True))
        longer = longer.unsqueeze(2)
        middle = torch.cat((aspect, torch.ones_like(aspect)), dim=1).unsqueeze(1) * 0.5
        return logit, (centre - 0.5) * longer + middle, CROP * side * longer, eyes

    def cut(self, photo: Tensor, aspect: Tensor, centre: Tensor, side: Tensor, turn: Tensor) -> Tensor:
        """Crops, float [F·B,3,256,256], upright, from float [B,3,S,S]."""
        pixels = face_mesh.SIDE
        u = self.across.reshape(1, 1, 1, pixels)
        v = self.across.reshape(1, 1, pixels, 1)
        x, y = rotate(u, v, turn[:, :, :1].unsqueeze(3), turn[:, :, 1:].unsqueeze(3))
        x = centre[:, :, :1].unsqueeze(3) + side.unsqueeze(3) * x
        y = centre[:, :, 1:].unsqueeze(3) + side.unsqueeze(3) * y
        grid = torch.stack((x / aspect.reshape(-1, 1, 1, 1) * 2.0 - 1.0, y * 2.0 - 1.0), dim=4)
        # The crops of a photo as one tall picture.
        tall = F.grid_sample(
            photo, grid.reshape(-1, self.count * pixels, pixels, 2), padding_mode="zeros", align_corners=False
        )
        crops = tall.reshape(-1, 3, self.count, pixels, pixels).transpose(1, 2)
        return crops.reshape(-1, 3, pixels, pixels)


def rotate(x: Tensor, y: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor]:
    """Turn by an angle."""
    return x * cosine - y * sine, x * sine + y * cosine


def probability(logit: Tensor) -> Tensor:
    """σ of float [N,1], by a softmax of two: ONNX Runtime's own σ depends on the batch in the last bit."""
    return torch.softmax(torch.cat((logit, torch.zeros_like(logit)), dim=1), dim=1)[:, :1]
