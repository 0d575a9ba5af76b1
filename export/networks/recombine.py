"""`recombine`: photo, mask, albedo and shading → finished pixels at the photo's own size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contract.files import HEADROOM
from contract.light import position
from export.networks import colour
from export.networks.filters import box_mean, cells, halve

ALBEDO_SIDE = 768
SIDE = 518  # light and albedo meet at the shading's resolution
DARK = 0.002  # working value under which a ratio says nothing
LARGEST = 1e6  # of what lights and networks give: no product of such numbers is infinite


class Recombine(nn.Module):
    """Put the new light on the photo: everything smooth is computed small and carried up, detail is the photo's own.

    Arithmetic is in linear light or, where SCENE says so, on sRGB values as in the pipeline that this project replaces.
    sRGB is decoded and encoded once at either end. All pictures of a photo have the arithmetic of the first.
    """

    decoding: Tensor
    encoding: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("decoding", colour.decoding_table(), persistent=False)
        self.register_buffer("encoding", colour.encoding_table(), persistent=False)

    def forward(
        self,
        original: Tensor,
        alpha: Tensor,
        thresholds: Tensor,
        albedo: Tensor,
        shading: Tensor,
        scene: Tensor,
        planes: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Relight a batch of photos of one size, K pictures of each.

        Args:
            original: uint8 [B,H,W,3], sRGB.
            alpha: float32 [B,1,288,288], 0–1.
            thresholds: float32 [B,2]; the second cuts the mask.
            albedo: float16 [B,3,768,768], linear light, 0–1.
            shading: float16 [B,K,6,518,518]: diffuse and specular red, green, blue.
            scene: float32 [B,K,32].
            planes: int32 [B,P], one of the contract's PLANES: the tables that finish a value.

        Returns:
            output uint8 [B,K,P,H,W,3], the relit person over the background gray · degraded uint8 [B,K,P,H,W,3], the
            same over black · albedo uint8 [B,P,H,W,3] · mask uint8 [B,H,W], 255 inside. Of 8 bits colours are sRGB.
        """
        batch, height, width = original.shape[0], original.shape[1], original.shape[2]
        pictures = scene.shape[1]
        size = (height, width)
        # Nothing impossible may become an index out of the tables, which fails a whole batch on some backends.
        scene = torch.nan_to_num(scene).clamp(-LARGEST, LARGEST)
        in_srgb = (scene[:, 0:1, position("arithmetic")] >= 0.5).to(torch.int32).reshape(batch, 1, 1, 1)
        planes = planes.reshape(batch, -1, 1, 1, 1)
        offset = colour.encoding_offset(in_srgb.float().unsqueeze(1), planes.clamp(0, 2).float())
        brightest = torch.where(planes[:, :1] > 0, HEADROOM - 1.0 / colour.STEPS, 1.0)
        photo = colour.decode_levels(original.permute(0, 3, 1, 2), self.decoding, in_srgb)
        gain = albedo_gain(photo, albedo.float(), in_srgb)
        albedo_out = (photo * enlarge(gain * colour.SCALE, size)).clamp(max=colour.SCALE).unsqueeze(1)

        mask = enlarge(signed_distance(alpha, thresholds[:, 1]), size)
        mask = (mask * (0.5 * (height + width) / alpha.shape[3]) + 0.5).clamp(0.0, 1.0)
        # Blend with the very levels that are given out: where MASK is 0 there is only background.
        mask_levels = (mask * 255.0 + 0.5).to(torch.uint8)
        inside = (mask_levels.float() * (colour.SCALE / 255.0)).unsqueeze(1)  # 0 to SCALE: blends and scales at once

        # (1 − b)·A + b·I = I·((1 − b)·gain + b), so that blend and light are one small map to carry up.
        blend = scene[:, :, position("albedo_blend")].reshape(batch, pictures, 1, 1, 1)
        factor = (enlarge(gain, (SIDE, SIDE)).unsqueeze(1) * (1.0 - blend) + blend) * finite(shading[:, :, :3])
        diffuse, specular = (
            enlarge(small.flatten(1, 2), size).reshape(batch, pictures, 3, height, width)
            for small in (factor, finite(shading[:, :, 3:]))
        )
        relit = torch.minimum((photo.unsqueeze(1) * diffuse + specular).clamp(min=0.0), brightest) * inside

        level = scene[:, :, position("gray")].round().clamp(0.0, 255.0)
        gray = colour.decode_levels(level, self.decoding, in_srgb.reshape(batch, 1)).reshape(batch, pictures, 1, 1, 1)
        ground = (colour.SCALE - inside) * gray

        def finish(value: Tensor) -> Tensor:
            """Look up every table of PLANES: float [B,N,3,H,W] → uint8 [B,N,P,H,W,3]."""
            index = (value.unsqueeze(2) + offset.unsqueeze(1)).to(torch.int32)
            codes = colour.look_up(self.encoding, index)
            # Five dimensions: six take ONNX Runtime ten times as long.
            return codes.flatten(1, 2).permute(0, 1, 3, 4, 2).reshape(*index.shape[:3], height, width, 3)

        return finish(relit + ground), finish(relit), finish(albedo_out).squeeze(1), mask_levels.squeeze(1)


def finite(shading: Tensor) -> Tensor:
    """Float16 as float32, 0 where it is no number or infinite."""
    value = shading.float()
    return torch.where(value.abs() <= LARGEST, value, 0.0)


def enlarge(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize float [B,C,·,·] bilinearly."""
    return F.interpolate(image, size, mode="bilinear", align_corners=False)


def albedo_gain(photo: Tensor, albedo: Tensor, in_srgb: Tensor) -> Tensor:
    """Smooth ratio albedo ÷ photo per channel, float [B,3,192,192]: one over the photo's shading.

    The albedo network is low-resolution. Dividing the full photo by the smooth shading keeps the photo's detail.
    """
    small = cells(enlarge(photo, (ALBEDO_SIDE, ALBEDO_SIDE)), 4)
    # In sRGB the mean is one of sRGB values; four pixels of a network's answer may be averaged before the costly curve.
    half = halve(albedo)
    reflectance = halve(torch.where(in_srgb > 0, colour.linear_to_srgb(half), half))
    return torch.nan_to_num((box_mean(reflectance, 2) + DARK) / (box_mean(small, 2) + DARK)).clamp(0.0, LARGEST)


def signed_distance(alpha: Tensor, threshold: Tensor) -> Tensor:
    """Distance to the mask's edge in pixels of alpha, positive inside, clipped to ±4; float [B,1,288,288].

    alpha's excess over the threshold divided by its gradient. Carried up and cut one pixel wide, it gives an edge that
    is as sharp and as smooth at any resolution, where alpha itself would give a blurred or a stepped one.
    """
    padded = F.pad(alpha, (1, 1, 1, 1), mode="replicate")
    x = 0.5 * (padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2])
    y = 0.5 * (padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1])
    gradient = torch.sqrt(x * x + y * y)
    excess = alpha - threshold.reshape(-1, 1, 1, 1)
    return (excess / gradient.clamp(min=0.02)).clamp(-4.0, 4.0)
