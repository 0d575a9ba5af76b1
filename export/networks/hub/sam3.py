"""`sam3`: SAM3 as one graph with the contract of `segment`, and where its weights and its tokenizer come from."""

import json
import math
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTokenizer, Sam3Config, Sam3Model

from export.networks.hub.sam3_graph import Sam3Graph

PHOTO = 1008  # side of the contract's photo
SIDE = 288  # of the contract's mask
SOURCE = "facebook/sam3"
TOKENS = 32  # the contract's prompt length
ATTENTION = "sdpa"  # fused attention; eager would hold 1.7 GB of scores a photo
TINY_VOCABULARY = 600
TINY_WORDS = ("person", "woman", "man", "child", "the face", "a dog", "red coat", "glasses", "standing", "people")

Selection = Literal["best", "union"]


class Sam3Segment(nn.Module):
    """Normalisation, SAM3 and the selection of an instance: a photo and a prompt in, one mask out.

    Scores and boxes are those of transformers' Sam3ImageProcessor.post_process_instance_segmentation:
    score = σ(logit) · σ(presence). The instance is selected inside the graph: all masks of a photo are 66 MB.
    """

    def __init__(self, model: Sam3Model, selection: Selection = "best") -> None:
        """Take a model over, for the image size of its configuration.

        Args:
            model: reads square images, which its windows fill, and at least 32 tokens; else ValueError.
            selection: "best" gives the instance with the highest score, "union" all those above the threshold.
        """
        super().__init__()
        if selection not in ("best", "union"):
            raise ValueError(f"The selection is {selection!r}: choose best or union.")
        config: Any = model.config
        positions = config.text_config.max_position_embeddings
        if positions < TOKENS:
            raise ValueError(f"The text encoder reads {positions} tokens, the contract {TOKENS}: use another model.")
        backbone = config.vision_config.backbone_config
        self.vocabulary = int(config.text_config.vocab_size)
        self.image_size = square(backbone.image_size)
        grid = self.image_size // square(backbone.patch_size)
        # The side of the finest feature map, as a number from the configuration: a traced size is a tensor.
        self.mask_side = int(grid * config.vision_config.scale_factors[0])
        self.selection = selection
        self.model = Sam3Graph(model, grid)
        # On the wrapper, not only the model: an exporter restores the wrapper's own mode, dropout included.
        self.eval()

    def forward(
        self, segment_pixels: Tensor, tokens: Tensor, token_mask: Tensor, thresholds: Tensor, aspect: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Segment a batch of photos.

        Args:
            segment_pixels: uint8 [B,3,1008,1008], sRGB.
            tokens: int64 [B,32], ids within the model's vocabulary.
            token_mask: int64 [B,32], 1 for a token, 0 for padding.
            thresholds: float32 [B,2], score and mask threshold, 0–1; the mask threshold is the caller's to apply.
            aspect: float32 [B,1]; not used: SAM3 was trained on photos squashed to a square.

        Returns:
            alpha float32 [B,1,288,288] in 0–1 · score float32 [B,1], the highest, in 0–1 · box float32 [B,4],
            x0 y0 x1 y1 in 0–1, cut at the photo's edge · count int32 [B,1], instances with score > thresholds[:,0].
            Where count is 0, alpha, score and box are still those of the highest score.
        """
        # An id that the model does not know would end the process on a GPU, and in compiled code on a CPU.
        known = tokens.clamp(0, self.vocabulary - 1)
        logits, presence, boxes, masks = self.model(self.normalise(segment_pixels), known, token_mask)
        return self.select(logits, presence, boxes, masks, thresholds)

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Cast the weights. Normalisation, scores, the selection and the mask's probabilities stay in float32.

        So do the tables of positions, which are buffers: in half precision they would turn q and k by other angles.
        """
        for weight in self.model.parameters():
            weight.data = weight.data.to(dtype)

    def select(
        self, logits: Tensor, presence: Tensor, boxes: Tensor, masks: Tensor, thresholds: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Score Q queries and select among them: the outputs of forward.

        Args:
            logits: [B,Q], of each query.
            presence: [B,1], the logit that anything of the prompt is in the photo.
            boxes: [B,Q,4], x0 y0 x1 y1; may reach beyond 0–1.
            masks: [B,Q,S,S], logits, S = self.mask_side.
            thresholds: float32 [B,2], as for forward.
        """
        # float32 from here on, whatever the model's precision: near a threshold half precision changes the count.
        scores = logits.float().sigmoid() * presence.float().sigmoid()
        kept = scores > thresholds[:, :1]
        best = scores.argmax(dim=1, keepdim=True)
        boxes = boxes.float().clamp(0.0, 1.0)
        if self.selection == "best":
            alpha = self.probability(gather_rows(masks, best))
            box = gather_rows(boxes, best).squeeze(1)
        else:
            # Where any instance is kept, the best one is: adding it changes only photos with none.
            chosen = kept | (torch.arange(scores.shape[1], device=scores.device) == best)
            left_out = ~chosen.unsqueeze(-1)
            lowest = torch.finfo(masks.dtype).min  # σ is monotonic: the greatest logit is the greatest probability
            alpha = self.probability(masks.masked_fill(left_out.unsqueeze(-1), lowest).amax(dim=1, keepdim=True))
            low = boxes[..., :2].masked_fill(left_out, 1.0).amin(dim=1)
            high = boxes[..., 2:].masked_fill(left_out, 0.0).amax(dim=1)
            box = torch.cat((low, high), dim=1)
        return alpha, scores.gather(1, best), box, kept.sum(dim=1, keepdim=True).to(torch.int32)

    def normalise(self, segment_pixels: Tensor) -> Tensor:
        """uint8 [B,3,1008,1008] → [B,3,S,S] in −1 to 1, S the model's image size (1008 for the published one)."""
        pixels = segment_pixels.float() / 127.5 - 1.0
        if self.image_size != PHOTO and PHOTO % self.image_size == 0:
            pixels = F.avg_pool2d(pixels, PHOTO // self.image_size)
        elif self.image_size != PHOTO:
            pixels = F.interpolate(pixels, (self.image_size, self.image_size), mode="bilinear", align_corners=False)
        return pixels.to(self.model.dtype)

    def probability(self, logits: Tensor) -> Tensor:
        """Mask logits [B,1,S,S] → float32 probabilities [B,1,288,288]; σ first, as the published processing does."""
        alpha = logits.float().sigmoid()
        if self.mask_side != SIDE:
            alpha = F.interpolate(alpha, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return alpha


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Row index[b] of each values[b]: [B,Q,…] and int64 [B,1] → [B,1,…]."""
    # Not take_along_dim: torch.export bakes the traced batch into it.
    return values.gather(1, index.reshape(-1, 1, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:]))


def square(size: Any) -> int:
    """The side of a size that a configuration gives as a number or as two. Raises ValueError if the two differ."""
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ValueError(f"The model reads images or patches of {height}×{width}; the contract's photos are square.")
    return int(height)


def load_sam3(source: str = SOURCE) -> Sam3Model:
    """Load a sam3 or sam3_video checkpoint in float32, in evaluation mode, from a hub id or a folder.

    Raises:
        OSError: the source cannot be found or read (facebook/sam3 needs an accepted licence and a login).
        ValueError: the checkpoint has no weights for a part of SAM3, which would silently stay random.
    """
    model, info = cast(Any, Sam3Model).from_pretrained(
        source, dtype=torch.float32, attn_implementation=ATTENTION, output_loading_info=True
    )
    if absent := sorted(info["missing_keys"]):
        what = f"{len(absent)} of SAM3's tensors, e.g. {absent[0]}"
        raise ValueError(f"{source} lacks {what}: it is not a SAM3 checkpoint, or is incomplete.")
    return cast(Sam3Model, model.eval())


def tiny_sam3(seed: int = 0) -> Sam3Model:
    """Build SAM3 with all its parts, small: 112 pixels, 10 queries, a vocabulary of 600, random weights."""
    narrow: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    backbone = narrow | {"model_type": "sam3_vit_model", "num_hidden_layers": 2, "global_attn_indexes": [1]}
    backbone |= {"image_size": 112, "patch_size": 14, "pretrain_image_size": 56, "window_size": 4}
    vision = {"model_type": "sam3_vision_model", "backbone_config": backbone, "fpn_hidden_size": 32}
    start, end = TINY_VOCABULARY - 2, TINY_VOCABULARY - 1
    text = narrow | {"model_type": "clip_text_model", "num_hidden_layers": 2, "max_position_embeddings": TOKENS}
    text |= {"vocab_size": end + 1, "projection_dim": 32}
    text |= {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config = Sam3Config(
        vision_config=vision | {"backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]},
        text_config=text,
        geometry_encoder_config=narrow | {"num_layers": 1},
        detr_encoder_config=narrow | {"num_layers": 2},
        detr_decoder_config=narrow | {"num_layers": 2, "num_queries": 10},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 4},
    )
    return build_random(config, seed)


def full_random_sam3(seed: int = 0) -> Sam3Model:
    """Build the published architecture, 840 M parameters and 3.4 GB, with random weights; no download."""
    return build_random(Sam3Config(), seed)


def build_random(config: Sam3Config, seed: int) -> Sam3Model:
    """Build a model, in evaluation mode, with weights large enough for its outputs to depend on its inputs.

    transformers' own initialisation gives outputs near 1e-4, where a wrong export is as close as a right one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = cast(Any, Sam3Model)._from_config(config, attn_implementation=ATTENTION)
        with torch.no_grad():
            for module in model.modules():
                for name, weight in module.named_parameters(recurse=False):
                    if isinstance(module, nn.Embedding) or name == "position_embeddings":
                        weight.normal_()
                    elif weight.ndim > 1:
                        weight.normal_(std=1.0 / math.sqrt(weight[0].numel()))
                    elif name == "bias":
                        weight.normal_(std=0.1)
            # Spreads the scores of a photo, so that a threshold splits them.
            model.dot_product_scoring.query_proj.weight.mul_(8.0)
    return cast(Sam3Model, model.eval())


def write_tokenizer(source: str | None, folder: Path) -> None:
    """Write `folder`/vocab.json and merges.txt, which `decode` reads, from a checkpoint's CLIP tokenizer.

    Args:
        source: a hub id or a folder, as for load_sam3; None for the vocabulary of tiny_sam3.
        folder: an existing folder, e.g. model_repository/decode/1.

    Raises OSError: the source cannot be found or has no tokenizer.
    """
    if source is None:
        ids, merges = tiny_vocabulary()
    else:
        tokenizer = CLIPTokenizer.from_pretrained(source)
        # The parsed tokenizer has both parts, whether the checkpoint has tokenizer.json or vocab.json.
        parts = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        ids = {**parts["vocab"], **tokenizer.get_added_vocab()}
        merges = [(left, right) for left, right in parts["merges"]]
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    files = {"vocab.json": json.dumps(ids, ensure_ascii=False), "merges.txt": "\n".join(lines) + "\n"}
    for name, text in files.items():
        partial = folder / f"{name}.partial"
        partial.write_text(text, "utf-8")
        partial.replace(folder / name)


def tiny_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Ids and merges in CLIP's order: 256 bytes, 256 that end a word, the merged pieces, start and end."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in visible] + [chr(256 + at) for at in range(256 - len(visible))]
    room = TINY_VOCABULARY - 2 * len(symbols) - 2
    merges: dict[tuple[str, str], None] = {}
    for word in " ".join(TINY_WORDS).split():
        left, *rest = [*word[:-1], word[-1] + "</w>"]
        for right in rest:
            merges[left, right] = None
            left += right
    chosen = list(merges)[:room]
    pieces = [*symbols, *(symbol + "</w>" for symbol in symbols), *(left + right for left, right in chosen)]
    # The model's table has a row for every id.
    pieces += [f"<|unused{at}|>" for at in range(TINY_VOCABULARY - 2 - len(pieces))]
    return {piece: at for at, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}, chosen
