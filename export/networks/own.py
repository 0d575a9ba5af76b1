"""A user's own network: found by `package.module:factory`, its weights read from a checkpoint."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.errors import ExportError


def find_factory(spec: str) -> Callable[[], Any]:
    """Import "package.module:factory", from the Python path or the current folder. Raises ExportError."""
    module_name, _, factory_name = spec.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # importing runs a user's code
        sentence = f"{spec}: {module_name} cannot be imported ({error}); it is looked for in {Path.cwd()}."
        raise ExportError(sentence) from error
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise ExportError(f"{spec}: {module_name} has no function {factory_name}.")
    found: Callable[[], Any] = factory
    return found


def build_own(spec: str, checkpoint: Path | None) -> nn.Module:
    """Call a factory, and load a checkpoint into the network that it returns.

    Args:
        spec: as `find_factory` takes it. The factory takes no argument and returns an nn.Module whose forward takes and
            gives a stage's tensors (export/tensors.py).
        checkpoint: a .safetensors file or one of torch.save with a state dict; None keeps the factory's weights.

    Raises ExportError: there is no such factory, it fails or returns no nn.Module, or the checkpoint does not fit.
    """
    factory = find_factory(spec)
    try:
        network = factory()
    except Exception as error:  # and so does calling it
        raise ExportError(f"{spec} fails: {error}") from error
    if not isinstance(network, nn.Module):
        raise ExportError(f"{spec} gives {type(network).__name__}; it must give a torch.nn.Module.")
    if checkpoint is not None:
        load_checkpoint(network, checkpoint)
    return network.eval()


def load_checkpoint(network: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint into a network that must have exactly its tensors. Raises ExportError."""
    tensors = read_checkpoint(checkpoint)
    own = network.state_dict()
    missing, unknown = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unknown:
        parts = [f"lacks {len(missing)}, e.g. {missing[0]}"] if missing else []
        parts += [f"has {len(unknown)} that the network does not know, e.g. {unknown[0]}"] if unknown else []
        raise ExportError(f"{checkpoint} does not fit the network: of its tensors it {' and '.join(parts)}.")
    for name, tensor in tensors.items():
        if tensor.shape != (shape := own[name].shape):
            raise ExportError(
                f"{checkpoint} does not fit the network: {name} is {list(tensor.shape)}, not {list(shape)}."
            )
    network.load_state_dict(tensors)


def read_checkpoint(checkpoint: Path) -> dict[str, Tensor]:
    """Read a state dict; torch files may hold it under "state_dict". Raises ExportError."""
    try:
        if checkpoint.suffix == ".safetensors":
            from safetensors.torch import load_file  # an extra that only checkpoints need

            return load_file(checkpoint)
        content: Any = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise ExportError("Reading .safetensors needs `pip install 'relight-triton[networks]'`.") from error
    except Exception as error:  # each library raises types of its own
        raise ExportError(f"{checkpoint} cannot be read as a state dict ({error}).") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(tensor, Tensor) for tensor in content.values()):
        raise ExportError(f"{checkpoint} is not a state dict: save `network.state_dict()`.")
    return content
