"""ONNX Runtime's TensorRT provider in a network's config: the shapes its engine is built for, and where it is kept."""

import re
from pathlib import Path
from typing import Any

from server.installation import ServerError

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
NAME = "tensorrt"


def accelerator(config: Any) -> Any | None:
    """The TensorRT block of a ModelConfig, None where the network is left to the CUDA provider."""
    blocks = config.optimization.execution_accelerators.gpu_execution_accelerator
    return next((block for block in blocks if block.name == NAME), None)


def fit_batch(config: Any) -> None:
    """Give a ModelConfig an engine for batches from 1 to its max_batch_size, fastest at the largest, in place."""
    block = accelerator(config)
    if block is not None:
        for profile, rows in (("min", 1), ("opt", config.max_batch_size), ("max", config.max_batch_size)):
            block.parameters[f"trt_profile_{profile}_shapes"] = shapes(config, rows)


def shapes(config: Any, rows: int) -> str:
    """The shapes of all inputs for a batch of `rows`, e.g. "SEGMENT_PIXELS:16x3x1008x1008,TOKENS:16x32".

    Raises ServerError: an input has no fixed size, and an engine refuses what is outside its shapes.
    """
    for tensor in config.input:
        if -1 in tensor.dims:
            raise ServerError(
                f"{config.name} takes {tensor.name} in any size: TensorRT is for networks of fixed sizes."
            )
    return ",".join(f"{tensor.name}:{'x'.join(map(str, (rows, *tensor.dims)))}" for tensor in config.input)


def keep_engine(config: Any, folder: Path) -> None:
    """Keep the engine of a ModelConfig, and the timings it was chosen by, in `folder`, in place."""
    block = accelerator(config)
    if block is not None:
        for cache in ("engine", "timing"):
            block.parameters[f"trt_{cache}_cache_path"] = str(folder)


def engines_of(folder: Path, tensorrt: str, gpu: str) -> Path:
    """Where in `folder` the engines of one TensorRT for one kind of GPU are kept: others cannot use them."""
    return folder / f"tensorrt-{tensorrt}-{re.sub(r'[^0-9A-Za-z]+', '-', gpu)}"


def engine_folder(engines: Path, model: str, sha256: str) -> Path:
    """Where among `engines` that of one network is kept.

    ONNX Runtime recognises an engine by the graph, not by the weights in it: without the file's checksum in the path,
    new weights of a known network would be answered by the old engine.
    """
    return engines / f"{model}-{sha256[:12]}"


def tensorrt_version(libraries: Path = LIBRARIES) -> str | None:
    """The version of the TensorRT library, e.g. "10.14.1"; None where there is none."""
    numbers = [file.name.partition(".so.")[2] for file in libraries.glob("libnvinfer.so.*")]
    return max(numbers, key=len, default=None)
