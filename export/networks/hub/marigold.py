"""`marigold`: albedo by latent diffusion, diffusers' MarigoldIntrinsicsPipeline unrolled into one graph."""

from typing import Any, Literal, TypeAlias

import diffusers
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.colour import srgb_to_linear
from export.networks.filters import channel_sum, spatial_mean
from export.networks.hub.marigold_channels_last import keep_channels_last

# diffusers loads its classes late; a type checker sees placeholders without methods.
library: Any = diffusers
Pipeline: TypeAlias = Any  # diffusers.MarigoldIntrinsicsPipeline
Unet: TypeAlias = Any  # diffusers.UNet2DConditionModel
Vae: TypeAlias = Any  # diffusers.AutoencoderKL or AutoencoderTiny
Scheduler: TypeAlias = Any  # diffusers.DDIMScheduler

SIDE = 768  # of the photo, and the resolution the published network was trained for
SOURCE = "prs-eth/marigold-iid-lighting-v1-1"
TINY_AUTOENCODER = "madebyollin/taesd"  # shares its latents with Stable Diffusion 2, Marigold's origin
TARGETS = ("albedo", "shading", "residual")
LATENT = 4  # channels of one target's latent
Autoencoder: TypeAlias = Literal["full", "tiny"]
STEPS = (1, 2, 3, 4)  # those the network was published for; each is a whole UNet in the graph


class MarigoldAlbedo(nn.Module):
    """The lighting pipeline as one graph: encode, 1–4 denoising steps, decode three targets, or the albedo alone.

    What the pipeline draws or computes for every call is a constant here: the initial latent, so that a photo's albedo
    depends on nothing but the photo, and the embedding of the empty prompt.
    """

    latent: Tensor
    prompt: Tensor

    def __init__(
        self, pipeline: Pipeline, steps: int = 1, side: int = SIDE, seed: int = 0, scored: bool = True
    ) -> None:
        """Take a pipeline apart.

        Args:
            pipeline: of the lighting kind, with a plain DDIM scheduler; its weights may be in half precision.
            steps: denoising steps, 1–4.
            side: resolution in pixels at which the network runs; divides 768.
            seed: of the initial latent.
            scored: decode shading and residual too, for the score. They are half of the network's work.

        Raises ValueError: the pipeline is of another kind, or `steps` or `side` is not possible.
        """
        super().__init__()
        refuse_other_targets(pipeline)
        if steps not in STEPS:
            raise ValueError(f"Marigold takes 1 to 4 denoising steps, not {steps}.")
        factor = pipeline.vae_scale_factor
        if side < factor or SIDE % side or side % factor:
            raise ValueError(f"Marigold's side must divide {SIDE} and be a multiple of {factor}; {side} is not.")
        self.unet, self.vae, self.side, self.scored = pipeline.unet, pipeline.vae, side, scored
        for network in (self.unet, self.vae):
            keep_channels_last(network)
        self.scaling = float(pipeline.vae.config.scaling_factor)
        self.schedule = unroll(pipeline.scheduler, steps)
        generator = torch.Generator().manual_seed(seed)
        cells = side // factor
        latent = torch.randn((1, len(TARGETS) * LATENT, cells, cells), generator=generator, device="cpu")
        self.register_buffer("latent", latent, persistent=False)
        self.register_buffer("prompt", empty_prompt(pipeline), persistent=False)
        self.eval()

    def forward(self, albedo_pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Remove the light from a batch of photos.

        Args:
            albedo_pixels: uint8 [B,3,768,768], sRGB.

        Returns:
            albedo float16 [B,3,768,768], linear light, 0–1 · residual float32 [B,1], mean |I − k·(A·S + R)| in linear
            light, with the k of each photo that fits best: S and R are predicted up to one common scale. NaN unless
            `scored`.
        """
        image = albedo_pixels.float() / 255.0
        if self.side != SIDE:
            image = F.avg_pool2d(image, SIDE // self.side)
        # One target after the other: the decoder's feature maps are the graph's largest tensors, 600 MB a photo each.
        latents = self.denoise(image).chunk(len(TARGETS), dim=1)
        albedo = self.decode(latents[0])
        if self.scored:
            model = albedo * self.decode(latents[1]) + self.decode(latents[2])
            missed = reconstruction_error(srgb_to_linear(image), model)
        else:
            missed = image.new_full((image.shape[0], 1), float("nan"))
        if self.side != SIDE:
            albedo = F.interpolate(albedo, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return albedo.half(), missed

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Cast UNet and autoencoder. The schedule, the latent between steps and the residual stay in float32."""
        self.unet.to(dtype)
        self.vae.to(dtype)

    def denoise(self, image: Tensor) -> Tensor:
        """The latents of all targets for sRGB float32 [B,3,side,side] in 0–1; float32 [B,12,side/8,side/8]."""
        photo = self.encode(image * 2.0 - 1.0)
        latent = self.latent.float().expand(image.shape[0], -1, -1, -1)
        prompt = self.prompt.expand(image.shape[0], -1, -1).to(self.unet.dtype)
        for timestep, keep, change in self.schedule:
            both = torch.cat((photo, latent), dim=1).to(self.unet.dtype)
            # Made on the device: the UNet would copy a number from the host, which no CUDA graph can hold.
            moment = both.new_full((), timestep, dtype=torch.int64)
            velocity = self.unet(both, moment, encoder_hidden_states=prompt, return_dict=False)[0]
            latent = keep * latent + change * velocity.float()
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Decode one target's float32 latent [B,4,side/8,side/8] to float32 [B,3,side,side] in 0–1."""
        scaled = (latent / self.scaling).to(self.vae.dtype)
        decoded: Tensor = self.vae.decode(scaled, return_dict=False)[0].float()
        return (decoded.clamp(-1.0, 1.0) + 1.0) / 2.0

    def encode(self, image: Tensor) -> Tensor:
        """Encode float32 [B,3,side,side] in −1 to 1 as the latent's most likely value, float32 [B,4,side/8,side/8]."""
        encoded = self.vae.encode(image.to(self.vae.dtype))
        tiny = isinstance(self.vae, library.AutoencoderTiny)
        latent: Tensor = encoded.latents if tiny else encoded.latent_dist.mode()
        return latent.float() * self.scaling


def unroll(scheduler: Scheduler, steps: int) -> tuple[tuple[int, float, float], ...]:
    """Return (timestep, keep, change) of each step: latent ← keep · latent + change · the UNet's answer.

    Deterministic DDIM without clipping is linear in both, so the coefficients are read off the scheduler's own step
    and hold for any betas, spacing and prediction type.

    Raises ValueError: the scheduler is not DDIM, clips, or cannot start from its first timestep.
    """
    if not isinstance(scheduler, library.DDIMScheduler):
        raise ValueError(f"Only DDIM steps can be unrolled, not {type(scheduler).__name__}.")
    if scheduler.config.clip_sample or scheduler.config.thresholding:
        raise ValueError("A scheduler that clips its samples cannot be unrolled; set clip_sample to false.")
    scheduler.set_timesteps(steps)
    one, zero = torch.ones(1), torch.zeros(1)
    schedule = tuple(
        (int(t), scheduler.step(zero, t, one).prev_sample.item(), scheduler.step(one, t, zero).prev_sample.item())
        for t in scheduler.timesteps
    )
    if not torch.isfinite(torch.tensor(schedule)).all():
        raise ValueError("The scheduler divides by a signal of zero: it needs prediction_type v_prediction.")
    return schedule


@torch.no_grad()
def empty_prompt(pipeline: Pipeline) -> Tensor:
    """Embed the empty prompt as the pipeline does, unpadded: start and end token alone, float [1,2,width]."""
    ids = pipeline.tokenizer("", padding="do_not_pad", return_tensors="pt").input_ids
    embedding: Tensor = pipeline.text_encoder(ids.to(pipeline.text_encoder.device))[0]
    return embedding


def reconstruction_error(image: Tensor, model: Tensor) -> Tensor:
    """Mean |I − k·M| with the least-squares k of each photo, float [B,1]; I and M float [B,3,S,S], linear light."""
    scale = spatial_mean(channel_sum(image * model)) / spatial_mean(channel_sum(model * model)).clamp(min=1e-8)
    return spatial_mean(channel_sum((image - scale * model).abs()) / 3.0).reshape(-1, 1)


def refuse_other_targets(pipeline: Pipeline) -> None:
    """Raise ValueError unless the pipeline predicts albedo, shading and residual in linear light."""
    properties = pipeline.target_properties or {}
    names = tuple(properties.get("target_names", ()))
    if names != TARGETS:
        raise ValueError(
            f"`albedo` takes a Marigold that predicts {', '.join(TARGETS)}, such as {SOURCE}; "
            f"this one predicts {', '.join(names) or 'something else'}."
        )
    for name in TARGETS:
        if properties[name].get("prediction_space") != "linear":
            raise ValueError(f"`albedo` takes a Marigold for linear light; this one's {name} is not linear.")


def load_marigold(
    source: str = SOURCE, autoencoder: Autoencoder = "full", tiny_source: str = TINY_AUTOENCODER
) -> Pipeline:
    """Load the pipeline in float32 from a hub id or a folder; OSError names the source if nothing is there.

    A tiny autoencoder, from `tiny_source`, replaces the pipeline's own for a fraction of the cost and less detail.
    """
    pipeline = library.MarigoldIntrinsicsPipeline.from_pretrained(source, dtype=torch.float32)
    if autoencoder == "tiny":
        pipeline.register_modules(vae=library.AutoencoderTiny.from_pretrained(tiny_source, dtype=torch.float32).eval())
    return pipeline
