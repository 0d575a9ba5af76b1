"""How much SAM3 writes only to move or convert data, at full size; on the meta device, which computes nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Sam3Config, Sam3Model

from export.networks.hub.sam3 import ATTENTION, PHOTO, TOKENS, Sam3Segment

BATCH = 8
MOVING = {"aten::clone", "aten::copy_", "aten::_to_copy", "aten::cat", "aten::stack", "aten::constant_pad_nd"}


class Written(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not annotate it
    """Counts the bytes that operations which only move or convert data write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # nor this
        self.moved = 0

    def __torch_dispatch__(
        self, operation: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if operation._schema.name == "aten::_local_scalar_dense":
            return False  # "is every token known?", which the meta device cannot say
        answer = operation(*args, **(kwargs or {}))
        if operation._schema.name in MOVING:
            self.moved += answer.nbytes
        return answer


class Fused(TorchFunctionMode):
    """Attention as its fused kernels write it; the meta device would spell it out."""

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if function is not F.scaled_dot_product_attention:
            return function(*args, **(kwargs or {}))
        batch, heads, queries, width = args[0].shape
        return args[0].new_empty(batch, queries, heads, width).transpose(1, 2)


@torch.no_grad()
def moved_by_sam3() -> tuple[float, float]:
    """What a batch of BATCH moves in half precision: by the published model and by our graph, in gigabytes."""
    with torch.device("meta"):
        build: Any = Sam3Model
        model = build._from_config(Sam3Config(), attn_implementation=ATTENTION).eval().to(torch.float16)
        pixels = torch.empty(BATCH, 3, PHOTO, PHOTO, dtype=torch.float16)
        tokens = torch.ones(BATCH, TOKENS, dtype=torch.int64)
        with Written() as published, Fused():
            model(pixel_values=pixels, input_ids=tokens, attention_mask=tokens)
        graph = Sam3Segment(model).model
        with Written() as ours, Fused():
            graph(pixels, tokens, tokens)
    return published.moved / 1e9, ours.moved / 1e9
