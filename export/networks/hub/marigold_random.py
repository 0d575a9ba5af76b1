"""Marigold's lighting pipeline with random weights, at full size and tiny, of the published classes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from export.networks.hub.marigold import LATENT, SIDE, STEPS, TARGETS, Autoencoder, Pipeline, Unet, Vae, library

# All three targets are linear in 0–1. The albedo is absolute; for training, shading and residual were divided by one
# number per photo (the larger of their 98th percentiles), hence "up to scale".
LIGHTING: dict[str, Any] = {name: {"prediction_space": "linear", "up_to_scale": name != "albedo"} for name in TARGETS}
LIGHTING["target_names"] = list(TARGETS)
# As published for Stable Diffusion 2 and Marigold v1-1: the first step starts from noise alone (zero SNR).
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}


@dataclass(frozen=True)
class Size:
    """Width and depth of a pipeline of Stable Diffusion 2's architecture."""

    unet: tuple[int, ...]  # channels per resolution
    heads: tuple[int, ...]  # of attention, per resolution
    autoencoder: tuple[int, int, int, int]  # channels per resolution
    tiny_autoencoder: tuple[int, int]  # channels, residual blocks per resolution
    layers: int  # residual blocks per resolution
    groups: int  # of the group normalisation
    text: tuple[int, int, int]  # the text encoder's width, layers and heads
    words: int  # in its vocabulary


TINY = Size((8, 16), (1, 2), (8, 8, 16, 16), (8, 1), 1, 4, (16, 2, 2), 2)
FULL = Size((320, 640, 1280, 1280), (5, 10, 20, 20), (128, 256, 512, 512), (64, 3), 2, 32, (1024, 23, 16), 49408)


def tiny_marigold(seed: int = 0, autoencoder: Autoencoder = "full") -> Pipeline:
    """Build a pipeline of the published classes, a few channels wide, with random weights; no download."""
    return random_marigold(TINY, seed, autoencoder)


def full_random_marigold(seed: int = 0, autoencoder: Autoencoder = "full") -> Pipeline:
    """Build the pipeline at its published size (UNet 866 M parameters) with random weights; no download."""
    return random_marigold(FULL, seed, autoencoder)


def random_marigold(size: Size, seed: int, autoencoder: Autoencoder) -> Pipeline:
    """Build a lighting pipeline whose answers differ visibly from pixel to pixel and from photo to photo."""
    width, layers, heads = size.text
    text: dict[str, Any] = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    text |= {"vocab_size": size.words, "num_attention_heads": heads, "hidden_act": "gelu"}
    text |= {"bos_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet, vae = build_unet(size).eval(), build_autoencoder(size, autoencoder).eval()
        encoder = cast(Any, CLIPTextModel(CLIPTextConfig(**text))).eval()
        spread_outputs(unet, vae)
    tokens = CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[], model_max_length=77)
    return library.MarigoldIntrinsicsPipeline(
        unet, vae, library.DDIMScheduler(**SCHEDULE), encoder, tokens, "intrinsics", LIGHTING, STEPS[-1], SIDE
    )


def build_unet(size: Size) -> Unet:
    """Build Stable Diffusion 2's UNet: latents of the photo and of three targets in, latents of the targets out."""
    attending = len(size.unet) - 1  # resolutions with attention: all but the coarsest
    return library.UNet2DConditionModel(
        sample_size=SIDE // 8,
        in_channels=(1 + len(TARGETS)) * LATENT,
        out_channels=len(TARGETS) * LATENT,
        block_out_channels=size.unet,
        down_block_types=("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attending,
        attention_head_dim=size.heads,
        cross_attention_dim=size.text[0],
        layers_per_block=size.layers,
        norm_num_groups=size.groups,
        use_linear_projection=True,
    )


def build_autoencoder(size: Size, autoencoder: Autoencoder) -> Vae:
    """Build Stable Diffusion 2's autoencoder, or the tiny one that takes its place."""
    if autoencoder == "tiny":
        channels, blocks = size.tiny_autoencoder
        return library.AutoencoderTiny(
            encoder_block_out_channels=(channels,) * 4,
            decoder_block_out_channels=(channels,) * 4,
            num_encoder_blocks=(1, blocks, blocks, blocks),
            num_decoder_blocks=(blocks, blocks, blocks, 1),
        )
    return library.AutoencoderKL(
        block_out_channels=size.autoencoder,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=size.layers,
        norm_num_groups=size.groups,
    )


@torch.no_grad()
def spread_outputs(unet: Unet, vae: Vae) -> None:
    """Scale the last layers of encoder, UNet and decoder until their outputs vary as trained ones do.

    Fresh weights give almost the same answer to every photo, where any parity test passes. Layer by layer, as in
    Mishkin and Matas, "All you need is a good init", 2016.
    """
    tiny = isinstance(vae, library.AutoencoderTiny)
    photo = F.interpolate(torch.rand(2, 3, 8, 8) * 2.0 - 1.0, (64, 64), mode="bilinear")
    latent, prompt = torch.randn(2, unet.config.in_channels, 8, 8), torch.zeros(2, 2, unet.config.cross_attention_dim)

    def rescale(layer: nn.Module, run: Callable[[], object], mean: float, deviation: float) -> None:
        seen: list[Tensor] = []
        handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
        run()
        handle.remove()
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        gain = deviation / seen[0].std(dim=(0, 2, 3))
        bias.copy_(mean + gain * (bias - seen[0].mean(dim=(0, 2, 3))))
        weight.mul_(gain.reshape(-1, 1, 1, 1))

    encoder_end = vae.encoder.layers[-1] if tiny else vae.quant_conv
    rescale(encoder_end, lambda: vae.encode(photo), 0.0, 1.0 / vae.config.scaling_factor)
    rescale(unet.conv_out, lambda: unet(latent, 999, prompt), 0.0, 1.0)
    decoder_end = vae.decoder.layers[-1] if tiny else vae.decoder.conv_out
    latent = latent[:, :LATENT] / vae.config.scaling_factor
    # The tiny decoder's last layer gives 0–1, the full one's −1 to 1.
    rescale(decoder_end, lambda: vae.decode(latent), *((0.5, 0.2) if tiny else (0.0, 0.4)))
