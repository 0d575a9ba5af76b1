"""Compares our graphs with the published modules at full size, with random weights: `python -m tests.full_size`.

The published modules' answers in double precision are exact: ours are compared with them in double and in single
precision, and so are the published modules' own in single. Takes 20 GB of memory and, on two cores, minutes.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias, cast, get_args
from unittest import mock

import torch
from torch import Tensor

from export.networks.hub import marigold, sam3
from export.networks.hub.marigold_channels_last import keep_channels_last
from export.networks.hub.marigold_random import FULL, build_autoencoder, build_unet, spread_outputs
from export.tensors import example_inputs, read_contract
from tests.full_size.copies import BATCH, moved_by_sam3

# Of ours, relative to the output's largest. In double precision our tables of positions stay in single.
LARGEST = {torch.float64: 1e-6, torch.float32: 1e-5}
LATENT = 24  # side of Marigold's latent: a quarter of the served one, a sixteenth of the work
Answers: TypeAlias = Mapping[str, Tensor]


@torch.no_grad()
def main() -> int:
    """Print what SAM3 moves and each output's largest difference; 1 if any of ours is too large."""
    published, ours = moved_by_sam3()
    print(
        f"sam3, batch {BATCH}, half precision: {published:.1f} GB are moved by the published model, {ours:.1f} by ours"
    )
    networks: dict[str, Callable[[torch.dtype], tuple[Answers, Answers]]] = {"sam3": ask_sam3}
    for autoencoder in get_args(marigold.Autoencoder):
        networks[f"marigold, {autoencoder} autoencoder"] = partial(ask_marigold, autoencoder)
    equal = [are_equal(network, ask) for network, ask in networks.items()]
    return int(not all(equal))


def are_equal(network: str, ask: Callable[[torch.dtype], tuple[Answers, Answers]]) -> bool:
    """Print the differences of a network, which `ask` gives the answers of: the published ones and ours."""
    exact, ours = ask(torch.float64)
    found = {torch.float64: report(f"{network}, ours in double precision", ours, exact)}
    published, ours = ask(torch.float32)
    report(f"{network}, the published in single precision", published, exact)
    found[torch.float32] = report(f"{network}, ours in single precision", ours, exact)
    report(f"{network}, ours beside the published, both in single precision", ours, published)
    return all(found[dtype] <= largest for dtype, largest in LARGEST.items())


def report(what: str, answers: Answers, exact: Answers) -> float:
    """Print the largest difference of each output relative to its largest magnitude; return the largest of all."""
    found = {name: float((answers[name] - truth).abs().max() / truth.abs().max()) for name, truth in exact.items()}
    print(f"{what}: {', '.join(f'{name} {one:.2e}' for name, one in found.items())}", flush=True)
    return max(found.values())


@contextlib.contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    """What a network otherwise computes in float32, whatever its weights, is of `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with mock.patch.object(Tensor, "float", lambda tensor: tensor.to(dtype)):
            yield
    finally:
        torch.set_default_dtype(before)


def ask_sam3(dtype: torch.dtype) -> tuple[Answers, Answers]:
    """SAM3, a photo and a prompt: the published answers and ours, in `dtype`."""
    model = cast(Any, sam3.full_random_sam3()).to(dtype)
    pixels, tokens, token_mask, *_ = example_inputs(read_contract("segment"), 1, seed=1)
    pixels = pixels.to(dtype) / 127.5 - 1.0
    with computing_in(dtype):
        found = model(pixel_values=pixels, input_ids=tokens, attention_mask=token_mask)
        published = (found.pred_logits, found.presence_logits, found.pred_boxes, found.pred_masks)
        ours = sam3.Sam3Segment(model).model(pixels, tokens, token_mask)
    names = ("logits", "presence", "boxes", "masks")
    return dict(zip(names, published, strict=True)), dict(zip(names, ours, strict=True))


def ask_marigold(autoencoder: marigold.Autoencoder, dtype: torch.dtype) -> tuple[Answers, Answers]:
    """The UNet, the encoder and the decoder of Marigold, two photos: the published answers and ours, in `dtype`."""
    torch.manual_seed(0)
    unet, vae = build_unet(FULL).eval(), build_autoencoder(FULL, autoencoder).eval()
    spread_outputs(unet, vae)
    shapes = ((2, unet.config.in_channels, LATENT, LATENT), (2, 2, FULL.text[0]), (2, 4, LATENT, LATENT))
    latent, prompt, target = (torch.randn(shape).to(dtype) for shape in shapes)
    photo = (torch.rand(2, 3, 8 * LATENT, 8 * LATENT) * 2.0 - 1.0).to(dtype)
    for network in (unet, vae):
        torch.nn.Module.to(network, dtype)  # without diffusers' warning

    def answer() -> Answers:
        encoded = vae.encode(photo)
        mean = encoded.latents if autoencoder == "tiny" else encoded.latent_dist.mode()
        return {"UNet": unet(latent, 999, prompt).sample, "encoder": mean, "decoder": vae.decode(target).sample}

    with computing_in(dtype):
        published = answer()
        for network in (unet, vae):
            keep_channels_last(network)
        return published, answer()


if __name__ == "__main__":
    sys.exit(main())
