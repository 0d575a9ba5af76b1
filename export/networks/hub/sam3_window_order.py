"""SAM3's vision transformer with its tokens in the order of their windows, and q, k, v from one product each layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WindowOrder(nn.Module):
    """transformers' Sam3ViTModel, the same answers.

    The published layers put tokens into windows and back 28 times. Norms, projections and the MLP do not care for the
    order, so tokens stay in that of their windows from the first layer to the last: a window layer's attention is a
    view, and a global layer's is the same in any order in which its rotary table is too.
    """

    positions: Tensor

    def __init__(self, vit: Any, grid: int) -> None:
        """Take a Sam3ViTModel over, for images of `grid` × `grid` patches.

        Raises ValueError: windows do not fill the grid; the published layers would attend to padding.
        """
        super().__init__()
        self.grid, self.window = grid, int(vit.config.window_size)
        if grid % self.window:
            raise ValueError(f"SAM3's windows of {self.window} patches do not fill its grid of {grid} × {grid}.")
        patches = vit.embeddings.patch_embeddings.projection
        self.patch_embedding = linear(patches.weight.data.flatten(1))
        self.patch = int(patches.kernel_size[0])
        tiled = vit.embeddings._tile_position_embeddings(vit.embeddings.position_embeddings.data, grid, grid)
        self.register_buffer("positions", self.in_windows(tiled).contiguous(), persistent=False)
        self.layer_norm = vit.layer_norm
        self.layers = nn.ModuleList(self.take_over(layer) for layer in vit.layers)

    def take_over(self, layer: Any) -> "WindowOrderLayer":
        """A published layer with its rotary table, float32 [1,tokens,head width] each, in our order."""
        cos, sin = layer.rotary_emb(layer.position_ids, layer.position_ids)
        if layer.window_size == 0:
            cos, sin = self.in_windows(cos), self.in_windows(sin)
        return WindowOrderLayer(layer, cos[0], sin[0])

    def forward(self, pixels: Tensor) -> Tensor:
        """Features [B,C,grid,grid] of images [B,3,S,S], in channels-last memory format."""
        patch, window, windows = self.patch, self.window, self.grid // self.window
        cells = pixels.reshape(-1, pixels.shape[1], windows, window, patch, windows, window, patch)
        cells = cells.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(pixels.shape[0], self.grid**2, -1)
        tokens = self.layer_norm(self.patch_embedding(cells) + self.positions.to(cells.dtype))
        for layer in self.layers:
            tokens = layer(tokens)
        rows = tokens.reshape(-1, windows, windows, window, window, tokens.shape[-1]).transpose(2, 3)
        features: Tensor = rows.reshape(-1, self.grid, self.grid, tokens.shape[-1]).permute(0, 3, 1, 2)
        return features

    def in_windows(self, tokens: Tensor) -> Tensor:
        """Put tokens [1,grid²,C] from row by row into window by window."""
        windows = self.grid // self.window
        rows = tokens.reshape(1, windows, self.window, windows, self.window, tokens.shape[-1])
        return rows.transpose(2, 3).reshape(tokens.shape)


class WindowOrderLayer(nn.Module):
    """transformers' Sam3ViTLayer on tokens of which as many as its rotary table has are neighbours in attention."""

    cos: Tensor
    sin: Tensor

    def __init__(self, layer: Any, cos: Tensor, sin: Tensor) -> None:
        """Take a Sam3ViTLayer over, with its rotary table, float32 [tokens,head width] each."""
        super().__init__()
        attention = layer.attention
        self.heads, self.width = int(attention.num_attention_heads), int(attention.head_dim)
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        self.qkv = linear(
            torch.cat([self.halves_first(q.weight.data), self.halves_first(k.weight.data), v.weight.data]),
            torch.cat([self.halves_first(q.bias.data), self.halves_first(k.bias.data), v.bias.data]),
        )
        self.o_proj, self.mlp = attention.o_proj, layer.mlp
        self.layer_norm1, self.layer_norm2 = layer.layer_norm1, layer.layer_norm2
        # The table has each angle twice, side by side; ours has it in both halves, the sign of the rotation with it.
        cos, sin = (half[:, None, None, ::2].float() for half in (cos, sin))
        self.register_buffer("cos", torch.cat((cos, cos), -1).contiguous(), persistent=False)
        self.register_buffer("sin", torch.cat((-sin, sin), -1).contiguous(), persistent=False)

    def halves_first(self, rows: Tensor) -> Tensor:
        """Reorder q's or k's rows: each head's even ones, then its odd ones.

        The published rotation turns neighbours; between halves it needs no interleaving. q · k does not change, since
        both are reordered.
        """
        return rows.reshape(self.heads, self.width // 2, 2, -1).transpose(1, 2).reshape(rows.shape)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend and transform tokens [B,N,C]."""
        qkv = self.qkv(self.layer_norm1(tokens)).reshape(-1, self.cos.shape[0], 3, self.heads, self.width)
        q, k = self.rotate(qkv[:, :, :2]).transpose(1, 3).unbind(2)
        attended = F.scaled_dot_product_attention(q, k, qkv[:, :, 2].transpose(1, 2))
        tokens = tokens + self.o_proj(attended.transpose(1, 2).reshape(tokens.shape))
        moved: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return moved

    def rotate(self, both: Tensor) -> Tensor:
        """Turn q and k, [·,tokens,2,heads,head width], by their positions; in float32, as published."""
        first, second = both.chunk(2, dim=-1)
        swapped = torch.cat((second, first), dim=-1)
        return torch.addcmul(both * self.cos, swapped, self.sin).to(both.dtype)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer of these weights, [outputs,inputs] and [outputs]."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    return made
