"""The unrolled Marigold computes what diffusers' own pipeline computes, and says how far it misses the photo."""

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.networks.hub.marigold import (
    SIDE,
    SOURCE,
    Autoencoder,
    MarigoldAlbedo,
    Pipeline,
    library,
    load_marigold,
    reconstruction_error,
    unroll,
)
from export.networks.hub.marigold_random import FULL, SCHEDULE, build_autoencoder, build_unet, tiny_marigold
from export.tensors import example_inputs, read_contract
from tests import autoencoders

SMALL = 64  # resolution of the network in these tests


@cache
def pipeline(autoencoder: Autoencoder = "full") -> Pipeline:
    tiny = tiny_marigold(0, autoencoder)
    tiny.set_progress_bar_config(disable=True)
    return tiny


@cache
def photos() -> Tensor:
    """Three photos, uint8 [3,3,768,768]."""
    return example_inputs(read_contract("albedo"), 3, seed=3)[0]


def original(network: MarigoldAlbedo, image: Tensor, steps: int, autoencoder: Autoencoder = "full") -> Tensor:
    """The pipeline's own prediction [B,9,S,S] for sRGB in 0–1 and the network's initial latent."""
    answer = pipeline(autoencoder)(
        image=image,
        num_inference_steps=steps,
        processing_resolution=0,
        output_type="pt",
        latents=network.latent.repeat(image.shape[0], 1, 1, 1),
        batch_size=image.shape[0],
    )
    prediction: Tensor = answer.prediction
    return prediction.reshape(image.shape[0], 9, *image.shape[2:])


def decompose(network: MarigoldAlbedo, image: Tensor) -> Tensor:
    """The network's albedo, shading and residual [B,9,S,S] for sRGB in 0–1."""
    return torch.cat([network.decode(latent) for latent in network.denoise(image).chunk(3, dim=1)], dim=1)


def is_channels_last(features: Tensor) -> bool:
    return features.is_contiguous(memory_format=torch.channels_last)


def psnr(answer: Tensor, truth: Tensor) -> float:
    return float(-10.0 * torch.log10(((answer - truth) ** 2).mean().clamp(min=1e-12)))


@pytest.mark.parametrize("autoencoder", ["full", "tiny"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@torch.no_grad()
def test_it_predicts_what_the_pipeline_predicts(steps: int, autoencoder: Autoencoder) -> None:
    network = MarigoldAlbedo(pipeline(autoencoder), steps, SMALL)
    image = F.avg_pool2d(photos().float() / 255.0, SIDE // SMALL)
    truth = original(network, image, steps, autoencoder)
    assert psnr(decompose(network, image), truth) >= 60.0
    assert truth.std(dim=(2, 3)).min() > 0.05, "predictions so flat that any two would agree"
    assert psnr(truth[1:], truth[:-1]) < 45.0, "photos so alike that any two would agree"


@pytest.mark.parametrize("autoencoder", ["full", "tiny"])
@torch.no_grad()
def test_channels_last_changes_no_answer(autoencoder: Autoencoder) -> None:
    fresh = tiny_marigold(0, autoencoder)
    generator = torch.Generator().manual_seed(0)
    latent, prompt = torch.randn((3, 16, 8, 8), generator=generator), torch.randn((3, 2, 16), generator=generator)
    photo = F.avg_pool2d(photos().float() / 127.5 - 1.0, SIDE // SMALL)

    def run() -> tuple[Tensor, ...]:
        encoded = fresh.vae.encode(photo)
        mean = encoded.latents if autoencoder == "tiny" else encoded.latent_dist.mode()
        return fresh.unet(latent, 999, prompt).sample, mean, fresh.vae.decode(latent[:, :4]).sample

    published = run()
    MarigoldAlbedo(fresh, 1, SMALL)  # lays the pipeline's own modules out
    for answer, truth in zip(run(), published, strict=True):
        assert (answer - truth).abs().max() <= 1e-5 * truth.abs().max()
    left: list[str] = []

    def look(module: nn.Module, inputs: object, answer: object) -> None:
        if isinstance(answer, Tensor) and answer.ndim == 4 and not is_channels_last(answer):
            left.append(type(module).__name__)

    for module in (*fresh.unet.modules(), *fresh.vae.modules()):
        module.register_forward_hook(look)
    run()
    assert left == []


def test_all_attention_is_fused() -> None:
    """The autoencoder's, whose one head is as wide as its feature maps, too: its scores would be 340 MB a photo."""
    networks = (pipeline().unet, pipeline().vae)
    processors = {
        type(one.processor).__name__ for net in networks for one in net.modules() if hasattr(one, "processor")
    }
    assert processors == {"AttnProcessor2_0"}  # the one that calls scaled_dot_product_attention


@torch.no_grad()
def test_detail_of_the_albedo_within_a_latents_cell_is_hardly_in_the_final_picture() -> None:
    """Hence the tiny autoencoder, which loses such detail, is the default."""
    photo = photos()[:1]
    noise = torch.rand((2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    one, other = (0.5 + 0.5 * autoencoders.detail(noise)).chunk(2)
    lost, seen = psnr(one, other), psnr(*(autoencoders.relit(photo, albedo) for albedo in (one, other)))
    assert lost < 18.0
    assert seen > lost + 20.0


@torch.no_grad()
def test_its_albedo_is_the_pipelines_first_target_in_linear_light() -> None:
    network = MarigoldAlbedo(pipeline(), 1, SMALL)
    albedo, _ = network(photos())
    truth = original(network, F.avg_pool2d(photos().float() / 255.0, SIDE // SMALL), 1)[:, :3]
    enlarged = F.interpolate(truth, (SIDE, SIDE), mode="bilinear", align_corners=False)
    assert pipeline().target_properties["albedo"] == {"prediction_space": "linear", "up_to_scale": False}
    assert psnr(albedo.float(), enlarged) >= 60.0


@torch.no_grad()
def test_without_its_score_the_albedo_is_the_same_and_two_thirds_of_the_decoding_are_saved() -> None:
    scored, unscored = MarigoldAlbedo(pipeline(), 1, SMALL), MarigoldAlbedo(pipeline(), 1, SMALL, scored=False)
    decoded: list[Tensor] = []

    def decode(latent: Tensor) -> Tensor:
        decoded.append(latent)
        return scored.decode(latent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unscored, "decode", decode)
        albedo, missed = unscored(photos())
    assert torch.equal(albedo, scored(photos())[0])
    assert torch.isnan(missed).all()
    assert (missed.shape, len(decoded)) == ((3, 1), 1)


@torch.no_grad()
def test_a_photos_answer_does_not_depend_on_its_neighbours_nor_on_chance() -> None:
    together, missed = MarigoldAlbedo(pipeline(), 1, SMALL)(photos())
    alone, missed_alone = MarigoldAlbedo(pipeline(), 1, SMALL)(photos()[1:2])
    assert psnr(together[1:2].float(), alone.float()) >= 60.0
    assert missed_alone[0] == pytest.approx(missed[1], abs=1e-6)


def test_another_seed_starts_from_another_latent() -> None:
    first, second = (MarigoldAlbedo(pipeline(), 1, SMALL, seed=seed).latent for seed in (0, 1))
    assert (first - second).abs().mean() > 0.5


def test_the_residual_is_nothing_where_albedo_shading_and_rest_make_up_the_photo_at_any_scale() -> None:
    albedo, shading, rest = torch.rand((3, 2, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    photo = 0.37 * (albedo * shading + rest)
    assert reconstruction_error(photo, albedo * shading + rest).max() < 1e-5
    missed = reconstruction_error(photo, rest)
    scale = (photo * rest).sum((1, 2, 3), keepdim=True) / (rest * rest).sum((1, 2, 3), keepdim=True)
    assert missed.shape == (2, 1)
    assert torch.allclose(missed[:, 0], (photo - scale * rest).abs().mean((1, 2, 3)), atol=1e-5)


@torch.no_grad()
def test_a_black_photo_gives_finite_numbers() -> None:
    albedo, missed = MarigoldAlbedo(pipeline(), 1, SMALL)(torch.zeros((1, 3, SIDE, SIDE), dtype=torch.uint8))
    assert torch.isfinite(albedo).all()
    assert missed.item() < 1e-6


@torch.no_grad()
def test_it_keeps_the_contract_with_weights_in_half_precision() -> None:
    half = MarigoldAlbedo(tiny_marigold(0).to(torch.bfloat16), 2, SMALL)
    albedo, missed = half(photos())
    assert (albedo.dtype, missed.dtype) == (torch.float16, torch.float32)
    assert psnr(albedo.float(), MarigoldAlbedo(pipeline(), 2, SMALL)(photos())[0].float()) > 25.0


def test_a_saved_pipeline_loads_again_with_either_autoencoder(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "pipeline")
    pipeline("tiny").vae.save_pretrained(tmp_path / "autoencoder")
    again = load_marigold(str(tmp_path / "pipeline"))
    tiny = load_marigold(str(tmp_path / "pipeline"), "tiny", str(tmp_path / "autoencoder"))
    assert torch.equal(MarigoldAlbedo(again, 1, SMALL).prompt, MarigoldAlbedo(pipeline(), 1, SMALL).prompt)
    assert type(again.vae) is type(pipeline().vae)
    assert type(tiny.vae) is type(pipeline("tiny").vae)
    assert not tiny.unet.training


def test_the_full_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        unet, vae = build_unet(FULL), build_autoencoder(FULL, "full")
    # Stable Diffusion 2's 865,910,724 and 83,653,863; beside its 4 channels the UNet takes 12 more and gives 8 more.
    assert sum(weights.numel() for weights in unet.parameters()) == 865_910_724 + 12 * 320 * 9 + 8 * (320 * 9 + 1)
    assert sum(weights.numel() for weights in vae.parameters()) == 83_653_863


def test_another_kind_of_marigold_is_refused() -> None:
    appearance = tiny_marigold()
    appearance.target_properties = {"target_names": ["albedo", "material"]}
    with pytest.raises(ValueError, match=f"{SOURCE}; this one predicts albedo, material"):
        MarigoldAlbedo(appearance)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"clip_sample": True}, "clip_sample"), ({"prediction_type": "epsilon"}, "v_prediction")],
)
def test_a_schedule_that_cannot_be_unrolled_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unroll(library.DDIMScheduler(**{**SCHEDULE, **change}), 1)


def test_a_scheduler_that_draws_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="LCMScheduler"):
        unroll(library.LCMScheduler(), 1)


@pytest.mark.parametrize(("steps", "side"), [(0, 768), (5, 768), (1, 100), (1, 4)])
def test_impossible_settings_are_refused(steps: int, side: int) -> None:
    with pytest.raises(ValueError, match="Marigold"):
        MarigoldAlbedo(pipeline(), steps, side)
