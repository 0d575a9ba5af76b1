"""Loads the weights that ship with the project; weights/README.md says where each file came from."""

from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import nn

FOLDER = Path(__file__).parent / "weights"

Network = TypeVar("Network", bound=nn.Module)


def load_shipped(network: Network, name: str) -> Network:
    """Fill a network from weights/<name>.safetensors (float16) as float32, for inference.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: the file holds another network's tensors.
    """
    state = load_file(FOLDER / f"{name}.safetensors")
    network.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    return network.eval().requires_grad_(False)
