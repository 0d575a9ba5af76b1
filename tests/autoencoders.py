"""How far final pictures differ by Marigold's autoencoder, its own or the tiny one: `python -m tests.autoencoders`.

The real weights are not here, so both networks' answers are made: those of random weights as they are, which agree in
nothing; and the detail of those on top of one albedo (`retinex`'s), so that they agree in the mean of each cell of a
latent, 8 × 8 pixels, and in nothing finer. A real pair decodes the same latent and differs in detail too, but less:
there both are near the photo.
"""

import sys

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from export.networks.filters import cells
from export.networks.hub.marigold import SIDE, Autoencoder, MarigoldAlbedo
from export.networks.hub.marigold_random import tiny_marigold
from export.networks.recombine import Recombine
from export.networks.retinex import Retinex
from tests.rig.places import SAMPLES

PHOTOS = ("astronaut.png", "coffee.png", "grace_hopper.jpg", "two_people.jpg")
CELL = 8  # pixels of a latent's cell: the autoencoder's factor
CONTRASTS = (1.0, 0.5, 0.25, 0.125)  # of the detail that differs


@torch.no_grad()
def main() -> int:
    """Print a table: the PSNR between the two albedos, and between the two final pictures."""
    photos = read_photos()
    full, tiny = answers(photos, "full"), answers(photos, "tiny")
    base = Retinex().eval()(photos)[0].float()
    rows = [("random weights", full, tiny)]
    for contrast in CONTRASTS:
        pair = ((base + contrast * detail(answer)).clamp(0.0, 1.0) for answer in (full, tiny))
        rows.append((f"one albedo, detail × {contrast:g}", *pair))
    print("| answers of the two networks | PSNR of the albedos, dB | PSNR of the final pictures, dB |\n|---|---:|---:|")
    for name, one, other in rows:
        print(f"| {name} | {psnr(one, other):.1f} | {psnr(relit(photos, one), relit(photos, other)):.1f} |")
    return 0


def read_photos() -> Tensor:
    """The samples, uint8 [4,3,768,768]."""
    images = (Image.open(SAMPLES / name).convert("RGB").resize((SIDE, SIDE)) for name in PHOTOS)
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])


def answers(photos: Tensor, autoencoder: Autoencoder) -> Tensor:
    """The albedo of random weights with one of the autoencoders, a few channels wide; float [4,3,768,768]."""
    network = MarigoldAlbedo(tiny_marigold(0, autoencoder), scored=False)
    return torch.cat([network(photo[None])[0].float() for photo in photos])


def detail(albedo: Tensor) -> Tensor:
    """An albedo without the mean of each cell."""
    return albedo - F.interpolate(cells(albedo, CELL), scale_factor=CELL)


def relit(photos: Tensor, albedo: Tensor) -> Tensor:
    """OUTPUT_PIXELS of whole photos in a light that falls from the left, as values in 0–1."""
    count = len(photos)
    shading = torch.zeros(count, 1, 6, 518, 518)
    shading[:, :, :3] = torch.linspace(1.2, 0.2, 518)
    original = photos.permute(0, 2, 3, 1).contiguous()
    whole, thresholds = torch.ones(count, 1, 288, 288), torch.full((count, 2), 0.5)
    scene, planes = torch.zeros(count, 1, 32), torch.zeros(count, 1, dtype=torch.int32)
    output: Tensor = Recombine().eval()(original, whole, thresholds, albedo.half(), shading.half(), scene, planes)[0]
    return output.float() / 255.0


def psnr(one: Tensor, other: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of values in 0–1."""
    return float(-10.0 * torch.log10((one - other).square().mean()))


if __name__ == "__main__":
    sys.exit(main())
