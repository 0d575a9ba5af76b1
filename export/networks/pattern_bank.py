"""Shadow patterns as a bank of textures inside the graph, placed by LIGHT alone."""

import math
from pathlib import Path

import cv2
import torch
from torch import Tensor, nn

from contract.light import position
from export.errors import ExportError
from export.networks.filters import sample
from export.networks.patterns import PATTERNS, SIDE, blurred, draw

VARIANTS = 3  # drawings of each built-in pattern; the pattern seed chooses one
SIGMAS = (0.0, 1.0, 2.0, 4.0)  # blurs kept of each texture, in its pixels; those between are mixed
BLUR_SCALE = SIDE / 1024.0  # LIGHT's blur is in pixels of a photo of side 1024
ROTATION = 15.0  # degrees either way
SCALE = (0.8, 1.2)
SHIFT = 0.1  # of the frame, either way
# One prime modulus and one multiplier per random number: exact in int64 for seeds up to 2²⁴, so every runtime places
# a pattern alike (multipliers from L'Ecuyer's tables of good generators, 1999).
MODULUS = 2**31 - 1
MULTIPLIERS = (1583458089, 784588716, 950706376, 1226874159)


class PatternBank(nn.Module):
    """Samples a shadow pattern per picture: rotated, scaled, shifted and blurred as LIGHT says.

    Ids count from 1; 0 and ids beyond the bank are no pattern.
    """

    bank: Tensor
    centres: Tensor
    names: tuple[str, ...]

    def __init__(self, materials: Path | None = None, built_in: bool = True) -> None:
        """Draw the built-in patterns (ids 1–10) and add the images of `materials` after them, or only these.

        Raises ExportError: the folder holds no image, or one that cannot be read.
        """
        super().__init__()
        textures: list[list[Tensor]] = []
        names: list[str] = []
        if built_in:
            textures += [[draw(p, seed=100 * i + v) for v in range(VARIANTS)] for i, p in enumerate(PATTERNS)]
            names += [pattern.__name__ for pattern in PATTERNS]
        if materials is not None:
            loaded = read_materials(materials)
            textures += [[texture] * VARIANTS for texture in loaded.values()]
            names += list(loaded)
        self.names = tuple(names)
        levels = [blurred(texture, SIGMAS) for variants in textures for texture in variants]
        self.register_buffer("bank", torch.cat(levels), persistent=False)
        centres = (torch.arange(518) + 0.5) / 518 * 2.0 - 1.0
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, light: Tensor, aspect: Tensor) -> Tensor:
        """Return how much light passes each pattern.

        Args:
            light: float32 [B,K,16], the source of each picture that the pattern belongs to.
            aspect: float32 [B,1], width ÷ height of the photo.

        Returns:
            float [B,K,518,518] in 0–1, what the pattern lets through: 1 − opacity × pattern.
        """
        batch, lights = light.shape[0], light.shape[1]
        flat = light.reshape(batch * lights, 16)
        wanted = flat[:, position("pattern_id")].round().to(torch.int64)
        present = (wanted >= 1) & (wanted <= len(self.names))
        seed = flat[:, position("pattern_seed")].to(torch.int64).clamp(min=0)
        texture = (wanted.clamp(1, len(self.names)) - 1) * VARIANTS + seed % VARIANTS
        pattern = sample(
            self.blend(texture, flat[:, position("pattern_blur")] * BLUR_SCALE),
            *self.place(seed, aspect.expand(batch, lights).reshape(batch * lights)),
        )
        opacity = (flat[:, position("pattern_opacity")] * present.to(flat.dtype)).reshape(batch, lights, 1, 1)
        return 1.0 - opacity * pattern.reshape(batch, lights, 518, 518)

    def blend(self, texture: Tensor, sigma: Tensor) -> Tensor:
        """Mix the two kept blurs next to `sigma` [N]; float [N,1,SIDE,SIDE]."""
        level = sigma.clamp(0.0, 1.0) + (sigma - 1.0).clamp(0.0, 1.0) + ((sigma - 2.0) / 2.0).clamp(0.0, 1.0)
        below = level.to(torch.int64).clamp(max=len(SIGMAS) - 2)
        share = (level - below.to(level.dtype)).reshape(-1, 1, 1, 1)
        first = texture * len(SIGMAS) + below
        sharp = self.bank.index_select(0, first).unsqueeze(1).float() / 255.0
        soft = self.bank.index_select(0, first + 1).unsqueeze(1).float() / 255.0
        return sharp + share * (soft - sharp)

    def place(self, seed: Tensor, aspect: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate, scale and shift by random numbers of the seed [N]; where to sample, x and y, float [N,518,518].

        −1 to 1 is the texture, which is reflected beyond. The pattern covers a square over the photo's longer side, so
        it is never stretched.
        """
        turn, zoom, left, up = (
            ((seed + 1) * multiplier % MODULUS).float().reshape(-1, 1, 1) / float(MODULUS) for multiplier in MULTIPLIERS
        )
        aspect = aspect.reshape(-1, 1, 1).clamp(min=0.01)
        x = self.centres.reshape(1, 1, -1) * aspect.clamp(max=1.0)
        y = self.centres.reshape(1, -1, 1) / aspect.clamp(min=1.0)
        # The angle by the tangent of its half: only exact arithmetic, where a runtime's sine may depend on the batch.
        half = (2.0 * turn - 1.0) * math.tan(math.radians(ROTATION / 2.0))
        size = (SCALE[0] + (SCALE[1] - SCALE[0]) * zoom) * (1.0 + half * half)
        cosine, sine = (1.0 - half * half) / size, 2.0 * half / size
        across = cosine * x + sine * y + (2.0 * left - 1.0) * 2.0 * SHIFT
        down = cosine * y - sine * x + (2.0 * up - 1.0) * 2.0 * SHIFT
        return reflect(across), reflect(down)


def reflect(place: Tensor) -> Tensor:
    """Reflect places between −3 and 3 at −1 and 1."""
    return 2.0 * place.clamp(-1.0, 1.0) - place


def read_materials(folder: Path) -> dict[str, Tensor]:
    """Read every image of a folder as a texture, dark = shadow; names (without suffix) in alphabetical order.

    Raises ExportError: there is none, or one cannot be read.
    """
    textures = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.name.startswith(".") or not file.is_file():
            continue
        gray = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if gray is None:
            raise ExportError(f"{file} is not an image; --materials takes a folder of gray images only.")
        small = cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        textures[file.stem] = 1.0 - torch.from_numpy(small).float() / 255.0
    if not textures:
        raise ExportError(f"{folder} holds no images; --materials takes a folder of gray images, dark = shadow.")
    return textures
