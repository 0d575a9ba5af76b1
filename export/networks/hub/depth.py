"""`depth`: the height field of a monocular depth network, then lit; Depth Anything through transformers."""

import torch
from torch import Tensor, nn
from transformers import AutoModelForDepthEstimation
from transformers.models.depth_anything import DepthAnythingConfig, DepthAnythingForDepthEstimation

from export.networks.filters import gaussian_blur
from export.networks.pattern_bank import PatternBank
from export.networks.shading import SIDE, Shadow, standardise

SOURCE = "depth-anything/Depth-Anything-V2-Small-hf"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
REACH = 4.0  # largest height, in standard deviations within the mask: only other objects are beyond
SMOOTHING = 3.0  # σ in pixels; the network's last step is a linear enlargement, whose facets light would show
# Depth-Anything-V2-Small's backbone as published; the rest of it is DepthAnythingConfig's defaults.
BACKBONE = {
    "model_type": "dinov2",
    "image_size": SIDE,  # 37 patches of 14: the position embeddings as they were trained, not interpolated
    "patch_size": 14,
    "hidden_size": 384,
    "num_attention_heads": 6,
    "out_indices": [3, 6, 9, 12],
    "reshape_hidden_states": False,
}


class DepthShadow(Shadow):
    """Geometry from a depth network, lit as `inflate` lights its own."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: DepthAnythingForDepthEstimation, patterns: PatternBank) -> None:
        """Wrap a depth network; the rest is as for every Shadow.

        `model` gives relative inverse depth: larger is nearer. Its weights may be in half precision. Raises ValueError
        for one that gives metric depth, where larger is farther.
        """
        super().__init__(patterns)
        refuse_other_depth(model)
        self.model = model
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1), persistent=False)
        self.eval()

    def heights(self, pixels: Tensor, alpha: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Run the depth network; its relief casts the shadows too."""
        height = relief(self.nearness(pixels), mask)
        return height, height

    def cast_weights(self, dtype: torch.dtype) -> None:
        """Cast the depth network. Normalisation, the height field and its light stay in float32."""
        self.model.to(dtype=dtype)  # type: ignore[call-arg]  # transformers' annotation hides nn.Module's

    def nearness(self, pixels: Tensor) -> Tensor:
        """Relative inverse depth of uint8 [B,3,518,518], float32 [B,1,518,518]: larger is nearer, scale and shift free.

        Pixels are normalised in float32, as the model's own image processor does, whatever its weights' precision.
        """
        normal = (pixels.float() / 255.0 - self.mean) / self.std
        depth: Tensor = self.model(pixel_values=normal.to(self.model.dtype)).predicted_depth
        return depth.float().unsqueeze(1)


def relief(nearness: Tensor, mask: Tensor) -> Tensor:
    """Turn relative inverse depth into a smooth height field, near = high; all float [B,1,518,518], the mask in 0–1.

    The result has mean 0 and standard deviation 1 within the mask. Inverse depth serves as height unchanged: one
    instance is shallow compared with its distance, and over so short a range inverse depth is linear in depth.
    """
    height = standardise(nearness, mask).clamp(-REACH, REACH)
    # A blur that leaves the background out (normalised convolution): the step behind an instance must not bend its rim.
    weight = mask + 1e-3
    smooth = gaussian_blur(height * weight, SMOOTHING) / gaussian_blur(weight, SMOOTHING)
    return standardise(smooth, mask)


def refuse_other_depth(model: nn.Module) -> None:
    """Raise ValueError unless `model` is a Depth Anything that gives relative inverse depth."""
    config = getattr(model, "config", None)
    kind = getattr(config, "model_type", type(model).__name__)
    if kind != "depth_anything":
        raise ValueError(f"`shadow` takes a Depth Anything network, not {kind}: {SOURCE}, or one fine-tuned.")
    if getattr(config, "depth_estimation_type", "relative") != "relative":
        raise ValueError(
            "This Depth Anything gives metric depth, where larger is farther, and would invert every relief; "
            f"choose one for relative depth, such as {SOURCE}."
        )


def load_depth(source: str = SOURCE) -> DepthAnythingForDepthEstimation:
    """Load a depth network in float32 from a hub id or a folder; OSError names the source if nothing is there."""
    model: DepthAnythingForDepthEstimation = AutoModelForDepthEstimation.from_pretrained(source, dtype=torch.float32)
    return model  # from_pretrained leaves it in evaluation mode


def tiny_depth(seed: int = 0) -> DepthAnythingForDepthEstimation:
    """Build a Depth Anything four layers deep and 32 wide, 518² as the real one, with random weights; no download."""
    backbone = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "mlp_ratio": 2}
    config = DepthAnythingConfig(
        backbone_config={**BACKBONE, **backbone, "out_indices": [1, 2, 3, 4]},
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )
    return random_depth(config, seed)


def full_random_depth(seed: int = 0) -> DepthAnythingForDepthEstimation:
    """Build Depth-Anything-V2-Small as published (24.8 M parameters) with random weights; no download."""
    return random_depth(DepthAnythingConfig(backbone_config=BACKBONE), seed)


def random_depth(config: DepthAnythingConfig, seed: int) -> DepthAnythingForDepthEstimation:
    """Build a network with weights so large that its answers differ from pixel to pixel and from photo to photo.

    With transformers' own, every depth is within 1e-4 of every other, where any parity test passes, and the last ReLU
    cuts half of them to 0.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DepthAnythingForDepthEstimation(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2 and not name.endswith(("token", "position_embeddings")):
                nn.init.kaiming_normal_(parameter, nonlinearity="linear")
    nn.init.constant_(model.head.conv3.get_parameter("bias"), 8.0)
    model.train(False)
    return model
