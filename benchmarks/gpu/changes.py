"""What may make a network faster on a GPU without another answer: changes in place, each measured by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# The classes whose instances do most of the work, many of them alike: compiled one by one, each kind is compiled once.
REPEATED = (
    "Sam3ViTLayer",
    "Sam3DetrEncoderLayer",
    "Sam3DetrDecoderLayer",
    "BasicTransformerBlock",
    "ResnetBlock2D",
    "Dinov2Layer",
)


class Table(nn.Module):
    """In the place of a position embedding that does not depend on the photo."""

    def __init__(self, cos: Tensor, sin: Tensor) -> None:
        super().__init__()
        self.cos, self.sin = nn.Buffer(cos, persistent=False), nn.Buffer(sin, persistent=False)

    def forward(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The cosines and sines, both float32 [1,N,head width], whatever is asked."""
        return self.cos, self.sin


def keep_rotary_tables(network: nn.Module) -> None:
    """SAM3: compute each layer's rotary table once; its own layers compute theirs for every batch."""
    for layer in instances(network, "Sam3ViTLayer"):
        layer.rotary_emb = Table(*layer.rotary_emb(layer.position_ids, layer.position_ids))


def encode_each_prompt_once(network: nn.Module) -> None:
    """SAM3: run the text encoder on the distinct prompts of a batch only, which the host must wait to learn."""
    for model in instances(network, "Sam3Model"):
        encode = model.get_text_features

        def once(input_ids: Tensor, attention_mask: Tensor, encode: Any = encode, **options: Any) -> Any:
            width = input_ids.shape[1]
            both, places = torch.unique(torch.cat((input_ids, attention_mask), dim=1), dim=0, return_inverse=True)
            found = encode(input_ids=both[:, :width], attention_mask=both[:, width:], **options)
            found.pooler_output = found.pooler_output[places]
            return found

        model.get_text_features = once


def channels_last(network: nn.Module) -> None:
    """Lay the convolutions' weights out as tensor cores read them; the feature maps follow."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub has no such overload


def compile_blocks(network: nn.Module, mode: str | None = None) -> None:
    """Compile the repeated blocks with torch.compile, a graph for each batch size."""
    for kind in REPEATED:
        for block in instances(network, kind):
            block.compile(dynamic=False, mode=mode)


def instances(network: nn.Module, kind: str) -> list[Any]:
    """A network's modules of the class named `kind`."""
    return [module for module in network.modules() if type(module).__name__ == kind]
