"""The tensor contract of each network, read from its hand-written config.pbtxt, and example inputs that keep it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import torch
from google.protobuf import text_format
from torch import Tensor
from torch.nn import functional as F
from tritonclient.grpc import model_config_pb2

from contract.light import LIGHT, NUMBERS, SCENE, SENT, WIDTHS

PERSON = Path(__file__).with_name("example.jpg")  # cut from samples/astronaut.png
REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
Runtime: TypeAlias = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]  # an open file: inputs to outputs, on the CPU

DTYPES = {
    model_config_pb2.TYPE_UINT8: torch.uint8,
    model_config_pb2.TYPE_INT32: torch.int32,
    model_config_pb2.TYPE_INT64: torch.int64,
    model_config_pb2.TYPE_FP16: torch.float16,
    model_config_pb2.TYPE_FP32: torch.float32,
}

# The range of each output, which a config can only state in a comment.
RANGES = {
    "ALPHA": (0.0, 1.0),
    "SCORE": (0.0, 1.0),
    "BOX": (0.0, 1.0),
    "COUNT": (0.0, float("inf")),
    "ALBEDO": (0.0, 1.0),
    "RESIDUAL": (0.0, float("inf")),
    "SHADING": (0.0, float("inf")),
    "NORMAL": (-1.0, 1.0),
    "HEIGHT": (float("-inf"), float("inf")),
}

# Where the whole range of a number would leave nothing to compare: white pictures, highlights of a single point.
EXAMPLE_LIMITS = {
    **dict.fromkeys(("intensity", "color_red", "color_green", "color_blue", "relief"), (0.0, 1.0)),
    **{"shininess": (1.0, 64.0), "pattern_id": (0.0, 11.0)},
    **{number.name: (0.0, 0.5) for number in SENT if number.name.startswith("irradiance_0")},
    **{
        number.name: (-0.2, 0.2) for number in SENT if number.name.startswith("irradiance") and "_0_" not in number.name
    },
}

# NaN from a network that does not compute them.
OPTIONAL = ("RESIDUAL",)


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a network: its name, dtype and dims without the batch, −1 where they vary."""

    name: str
    dtype: torch.dtype
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Contract:
    """What a network takes and gives, in order."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 16  # the largest batch that is served


def read_contract(name: str) -> Contract:
    """Read the contract of the network `name` from model_repository/<name>/config.pbtxt."""
    config = model_config_pb2.ModelConfig()
    text_format.Parse((REPOSITORY / name / "config.pbtxt").read_text("utf-8"), config)
    inputs = tuple(TensorSpec(t.name, DTYPES[t.data_type], tuple(t.dims)) for t in config.input)
    outputs = tuple(TensorSpec(t.name, DTYPES[t.data_type], tuple(t.dims)) for t in config.output)
    return Contract(name, inputs, outputs, config.max_batch_size)


def example_inputs(contract: Contract, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Draw random inputs that keep a contract, each of `batch` rows: photos of 72×90 pixels, 3 pictures, 2 sources.

    Every row differs, so that a graph that mixes up the rows of a batch gives a different answer.
    """
    generator = torch.Generator().manual_seed(seed)
    varying = {"ORIGINAL": (72, 90), LIGHT: (3, 2), SCENE: (3,), "SHADING": (3,), "PLANES": (2,)}

    def draw(spec: TensorSpec) -> Tensor:
        free = iter(varying.get(spec.name, ()))
        shape = (batch, *(next(free) if size == -1 else size for size in spec.dims))
        if spec.name in WIDTHS:
            return example_rows(spec.name, shape, generator)
        if spec.name == "PLANES":
            return torch.zeros(shape, dtype=spec.dtype)  # of 16 bits the low byte would differ by any rounding
        if spec.name == "TOKEN_MASK":
            lengths = torch.randint(2, shape[1], (batch, 1), generator=generator)
            return (torch.arange(shape[1]) < lengths).to(spec.dtype)
        if spec.dtype == torch.uint8:
            pixels = example_photos(batch, shape[2:] if shape[1] == 3 else shape[1:3], generator)
            return pixels if shape[1] == 3 else pixels.permute(0, 2, 3, 1).contiguous()
        if spec.name == "ALPHA":  # a figure with an edge, not noise whose every pixel is one
            coarse = torch.rand((batch, 1, 9, 9), generator=generator)
            return F.interpolate(coarse, shape[2:], mode="bicubic").clamp(0, 1)
        if spec.dtype.is_floating_point:
            return (0.1 + 0.8 * torch.rand(shape, generator=generator)).to(spec.dtype)
        return torch.randint(0, 500, shape, generator=generator).to(spec.dtype)

    return tuple(draw(spec) for spec in contract.inputs)


def example_photos(batch: int, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw photos, uint8 [batch,3,·,·]: a person in every other one, shifted and tinted; else smooth blobs and grain.

    White noise alone would leave every large blur flat, and a network that looks for people without an answer.
    """
    coarse = torch.rand((batch, 3, 9, 9), generator=generator)
    smooth = F.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    person = torch.from_numpy(cv2.cvtColor(cv2.imread(str(PERSON)), cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None] / 255.0
    person = F.interpolate(person, size, mode="bicubic").clamp(0, 1)
    for row in range(0, batch, 2):
        shift = round((coarse[row, 0, 0, 0].item() - 0.5) * 0.2 * size[1])
        smooth[row] = person[0].roll(shift, 2) * (0.7 + 0.3 * coarse[row, :, :1, :1])
    grain = torch.rand(smooth.shape, generator=generator)
    return (smooth * 235 + grain * 20).to(torch.uint8)


def example_rows(tensor: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw LIGHT or SCENE, float32 of the shape, over the range of every number; every other photo in sRGB."""
    rows = torch.zeros(shape)
    for number in SENT:
        if number.tensor == tensor:
            low, high = EXAMPLE_LIMITS.get(number.name, (number.interval.low, number.interval.high))
            drawn = low + (high - low) * torch.rand(shape[:-1], generator=generator)
            rows[..., number.position] = drawn.round() if number.interval.whole else drawn
    if tensor == LIGHT:
        direction = torch.randn((*shape[:-1], 3), generator=generator)
        direction[..., 2] = direction[..., 2].abs() + 0.1
        rows[..., 0:3] = direction / direction.norm(dim=-1, keepdim=True)
        rows[:, :, 1:, NUMBERS["pattern_id"].position] = 0.0
    else:
        rows[..., NUMBERS["arithmetic"].position] = (torch.arange(shape[0]) % 2).reshape(-1, 1)
    return rows
