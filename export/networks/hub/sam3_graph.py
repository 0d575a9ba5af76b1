"""transformers' Sam3Model for photos of one size and a text prompt: the same answers from fewer operations."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam3.modeling_sam3 import inverse_sigmoid

from export.networks.hub.sam3_window_order import WindowOrder

REACH = 8.0  # published: distances from a box's edges count as log2(1 + REACH · distance) ÷ log2(REACH)


class Sam3Graph(nn.Module):
    """SAM3 with everything that depends on the size alone as constants, and feature maps in channels-last format.

    Made of the published modules but for the vision transformer (WindowOrder) and the loops around the layers. The
    prompt's boxes and the semantic mask are left out.
    """

    positions: Tensor

    def __init__(self, model: Any, grid: int) -> None:
        """Take a Sam3Model over, for images of `grid` × `grid` patches. Raises ValueError as WindowOrder does."""
        super().__init__()
        vision = model.vision_encoder
        self.vit = WindowOrder(vision.backbone, grid)
        self.levels = vision.neck.fpn_layers[:-1]  # finest first; the coarsest has no use
        width = vision.config.fpn_hidden_size
        encoding = vision.neck.position_encoding((1, width, grid, grid), self.vit.positions.device, torch.float32)
        self.register_buffer("positions", encoding.flatten(2).transpose(1, 2).contiguous(), persistent=False)
        self.text_encoder, self.text_projection = model.text_encoder, model.text_projection
        self.encoder_layers = model.detr_encoder.layers
        self.decoder = Decoder(model.detr_decoder, grid)
        self.scoring = model.dot_product_scoring
        self.mask_decoder = model.mask_decoder
        for convolutions in (self.levels, self.mask_decoder):
            cast(Any, convolutions).to(memory_format=torch.channels_last)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' precision."""
        return cast(torch.dtype, self.text_projection.weight.dtype)

    def forward(self, pixels: Tensor, tokens: Tensor, token_mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find Q instances of the prompt in each photo.

        Args:
            pixels: [B,3,S,S], normalised, in the weights' precision.
            tokens: int64 [B,T].
            token_mask: int64 [B,T], 1 for a token, 0 for padding.

        Returns:
            logits [B,Q], of each query · presence [B,1], the logit that anything of the prompt is in the photo · boxes
            [B,Q,4], x0 y0 x1 y1, float32 · mask logits [B,Q,M,M].
        """
        features = self.vit(pixels)
        *finer, level = (scale(features) for scale in self.levels)
        text = self.text_projection(self.text_encoder(input_ids=tokens, attention_mask=token_mask).last_hidden_state)
        known = token_mask.bool()
        # Of attention, [B,heads,queries,T]. Written out for every query: ONNX Runtime does not broadcast that.
        mask = known[:, None, None].expand(-1, -1, self.positions.shape[1], -1)
        positions = self.positions.to(level.dtype)
        image = level.flatten(2).transpose(1, 2)
        for layer in self.encoder_layers:
            image = layer(image, text, positions, mask)
        queries, boxes, presence = self.decoder(image, positions, text, known)
        logits = self.scoring(queries.unsqueeze(0), text, known)[0].squeeze(-1)
        return logits, presence, boxes, self.masks(queries, finer, image, text, mask)

    def masks(self, queries: Tensor, finer: list[Tensor], image: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """Mask logits [B,Q,M,M] of queries [B,Q,C] on the feature maps, finest first, and the encoder's [B,grid²,C]."""
        head = self.mask_decoder
        image = image + head.prompt_cross_attn(head.prompt_cross_attn_norm(image), text, text, mask)[0]
        coarsest = image.transpose(1, 2).reshape(-1, image.shape[2], self.vit.grid, self.vit.grid)
        pixels = head.instance_projection(head.pixel_decoder([*finer, coarsest]))
        return torch.einsum("bqc,bchw->bqhw", head.mask_embedder(queries), pixels)


class Decoder(nn.Module):
    """transformers' Sam3DetrDecoder, its boxes in float32 between the layers, and their bias written once a layer."""

    steps: Tensor

    def __init__(self, decoder: Any, grid: int) -> None:
        """Take a Sam3DetrDecoder over, for an image of `grid` × `grid` features."""
        super().__init__()
        self.published = decoder
        self.register_buffer("steps", torch.arange(grid) / grid, persistent=False)

    def forward(self, image: Tensor, positions: Tensor, text: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find instances.

        Args:
            image: [B,grid²,C].
            positions: of the image, [1,grid²,C].
            text: [B,T,C].
            known: bool [B,T], false for padding.

        Returns:
            queries [B,Q,C] · boxes float32 [B,Q,4], x0 y0 x1 y1 · presence [B,1], a logit.
        """
        own = self.published
        start = torch.cat((own.presence_token.weight, own.query_embed.weight))
        hidden = start.expand(image.shape[0], -1, -1)
        boxes = own.reference_points.weight.float().sigmoid()[None]  # every photo's at first: its bias is made once
        queries, mask = hidden[:, 1:], known[:, None, None].expand(-1, -1, len(start), -1)
        for layer in own.layers:
            place = own.ref_point_head(own.position_encoding.encode_boxes(boxes).to(image.dtype))
            hidden = layer(hidden, place, text, image, positions, mask, self.bias(boxes, image.dtype))
            queries = own.output_layer_norm(hidden[:, 1:])
            boxes = (inverse_sigmoid(boxes) + own.box_head(queries).float()).sigmoid()
        presence = own.presence_head(own.presence_layer_norm(hidden[:, :1])).squeeze(-1)
        limit = own.clamp_presence_logit_max_val
        return queries, corners(boxes), presence.clamp(-limit, limit)

    def bias(self, boxes: Tensor, dtype: torch.dtype) -> Tensor:
        """What each query adds to its attention at each place, by the distances from its box's edges.

        Takes boxes float32 [B,Q,4], centre and size; returns [B,heads,1+Q,grid²]. The first row, of zeros, is the
        presence token's. Both axes are permuted and padded while they are small: only their sum has the full size.
        """
        edges = corners(boxes)
        across = self.along(edges[..., 0::2], self.published.box_rpb_embed_x, dtype)
        down = self.along(edges[..., 1::2], self.published.box_rpb_embed_y, dtype)
        return (down.unsqueeze(4) + across.unsqueeze(3)).flatten(3)

    def along(self, edges: Tensor, embed: nn.Module, dtype: torch.dtype) -> Tensor:
        """The part of the bias along one axis, [B,heads,1+Q,grid], for float32 [B,Q,2]."""
        distance = REACH * (self.steps[:, None] - edges.unsqueeze(2))
        scaled = distance.sign() * torch.log2(distance.abs() + 1.0) / math.log2(REACH)
        heads = embed(scaled.to(dtype)).permute(0, 3, 1, 2).contiguous()
        return F.pad(heads, (0, 0, 1, 0))


def corners(boxes: Tensor) -> Tensor:
    """x0 y0 x1 y1 of boxes given by their centre and size, [B,Q,4]."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centre - 0.5 * size, centre + 0.5 * size), dim=-1)
