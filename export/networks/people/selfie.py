"""`selfie`: people cut out by MediaPipe's multiclass segmenter, which also knows when nobody is there."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.colour_segmenter import bounding_box
from export.networks.filters import GuidedFilter, cells, channel_softmax, halve, spatial_mean
from export.networks.people import face_detector, selfie_classes
from export.networks.people.face_detector import FaceDetector
from export.networks.people.letterbox import letterbox, unbox
from export.networks.people.pieces import small_holes, substantial_pieces
from export.networks.people.selfie_classes import CLASSES, SelfieClasses
from export.networks.people.shipped import load_shipped

SIDE = 288  # the contract's mask
CELL = 4  # pixels of the mask, on which its pieces are told apart
# The classes of each prompt. A prompt's place is its token id; any other id is a person.
PROMPTS = {
    "person": ("hair", "body skin", "face skin", "clothes", "others"),
    "hair": ("hair",),
    "face": ("face skin",),
    "skin": ("body skin", "face skin"),
    "clothes": ("clothes",),
}
HEAD_AREA, BODY_AREA = 0.005, 0.02  # shares of the photo from which on a head and a body are certain


class Selfie(nn.Module):
    """The classes of a photo, summed to the prompt's mask, which is refined along the photo's edges.

    The largest connected person is kept, and those at least a quarter as large; their small holes are filled.
    """

    chosen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.classes = load_shipped(SelfieClasses(), "selfie").fuse()
        self.detector = load_shipped(FaceDetector(), "face_detector")
        rows = [[float(name in names) for name in CLASSES] for names in PROMPTS.values()]
        self.register_buffer("chosen", torch.tensor(rows), persistent=False)

    def forward(
        self,
        segment_pixels: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
        thresholds: Tensor,
        aspect: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Segment a batch of photos.

        Args:
            segment_pixels: uint8 [B,3,1008,1008], sRGB.
            tokens: int64 [B,32]; the first is the prompt's place in PROMPTS.
            token_mask: int64 [B,32]; not used.
            thresholds: float32 [B,2], score and mask threshold, 0–1.
            aspect: float32 [B,1], width ÷ height of the photo.

        Returns:
            alpha float32 [B,1,288,288] in 0–1 · score float32 [B,1] in 0–1, of a person being there · box float32
            [B,4], x0 y0 x1 y1 in 0–1 · count int32 [B,1], 1 where the score reaches its threshold, else 0.
        """
        image = halve(segment_pixels.float())
        side = selfie_classes.SIDE
        seen = letterbox(halve(image) / 127.5 - 1.0, aspect, side)
        probability = channel_softmax(self.classes(seen))
        score = self.somebody(seen, probability)
        alpha = self.cut_out(probability, tokens[:, 0], aspect, resize(image, SIDE) / 255.0)
        figure = (alpha > thresholds[:, 1].reshape(-1, 1, 1, 1)).float()
        count = (score >= thresholds[:, :1]).to(torch.int32)
        return alpha, score, bounding_box(figure), count

    def cut_out(self, probability: Tensor, prompt: Tensor, aspect: Tensor, photo: Tensor) -> Tensor:
        """Make the mask of a prompt, float [B,1,288,288] in 0–1.

        Args:
            probability: float [B,6,256,256] of each class, in a letterbox.
            prompt: int64 [B], places in PROMPTS.
            aspect: float [B,1], width ÷ height of the photo.
            photo: float sRGB [B,3,288,288] in 0–1.
        """
        known = (prompt >= 0) & (prompt < len(PROMPTS))
        chosen = self.chosen.index_select(0, prompt * known.to(torch.int64))
        weighted = probability * chosen.reshape(-1, len(CLASSES), 1, 1)
        wanted = sum_of(weighted, range(1, len(CLASSES)))
        person = sum_of(probability, range(1, len(CLASSES)))
        wanted, person = unbox(torch.cat((wanted, person), dim=1), aspect, selfie_classes.SIDE).chunk(2, dim=1)
        figure = resize(certain(person), SIDE)
        whole = (prompt * known.to(torch.int64) == 0).float().reshape(-1, 1, 1, 1)
        holes = small_holes(figure, CELL) * whole  # of a person; hair may have any
        pieces = torch.maximum(substantial_pieces(figure, CELL), holes)
        refined = GuidedFilter(photo, 4, 1e-4)(resize(certain(wanted), SIDE))
        # The filter blurs an edge to the width of its windows; steeper, it is as sharp as before.
        sharpened = (0.5 + (refined - 0.5) * 1.6).clamp(0.0, 1.0)
        return torch.maximum(sharpened, resize(holes, SIDE)) * resize(pieces, SIDE)

    def somebody(self, image: Tensor, probability: Tensor) -> Tensor:
        """Score in 0–1, float [B,1], that a person is there: 1 − (1 − face²) · (1 − 0.42 · head with a body).

        A face alone is enough; a head with a body, as a person from behind has, makes a doubtful face certain. For
        the detector gives up to 0.6 to a texture, a face counts only where the classes see a head too.

        Args:
            image: float sRGB [B,3,256,256] in −1 to 1.
            probability: float [B,6,256,256] of each class.
        """
        hair, body, face, clothes, others = (probability[:, index : index + 1] for index in range(1, len(CLASSES)))
        logits, _ = self.detector(resize(image, face_detector.SIDE))
        head_there = resize(cells(hair + face + others, 4), face_detector.GRID).flatten(1) > 0.3
        logit = torch.where(head_there, logits, torch.full_like(logits, -100.0)).amax(1, keepdim=True)
        # The softmax of two is σ; ONNX Runtime's own σ depends on the batch in the last bit.
        seen = torch.softmax(torch.cat((logit, torch.zeros_like(logit)), dim=1), dim=1)[:, :1]
        head = (area(hair + face) / HEAD_AREA).clamp(max=1.0)
        torso = (area(body + clothes) / BODY_AREA).clamp(max=1.0)
        return 1.0 - (1.0 - seen * seen) * (1.0 - 0.42 * (head * torso).reshape(-1, 1))


def resize(image: Tensor, side: int) -> Tensor:
    """Resize float [B,C,·,·] to a square bilinearly."""
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False)


def certain(probability: Tensor) -> Tensor:
    """Stretch a probability: the network never gives less than 0.02 to a class nor more than 0.92."""
    return ((probability - 0.1) / 0.8).clamp(0.0, 1.0)


def area(probability: Tensor) -> Tensor:
    """Share of the photo where float [B,1,256,256] is about above a half, [B,1,1,1]."""
    return spatial_mean(((probability - 0.4) / 0.2).clamp(0.0, 1.0))


def sum_of(image: Tensor, channels: range) -> Tensor:
    """Sum of some channels of float [B,C,H,W], [B,1,H,W], in an order that does not depend on the batch."""
    total = image[:, channels[0] : channels[0] + 1]
    for channel in channels[1:]:
        total = total + image[:, channel : channel + 1]
    return total


def write_vocabulary(folder: Path) -> None:
    """Write `folder`/prompts.json, from which `decode` knows each prompt's token id and which to refuse."""
    partial = folder / "prompts.json.partial"
    partial.write_text(json.dumps({prompt: place for place, prompt in enumerate(PROMPTS)}), "utf-8")
    partial.replace(folder / "prompts.json")
