"""Loads the weights that ship with the project; weights/README.md says where each file came from."""

from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "weights"

Network = TypeVar("Network", bound=nn.Module)


def load_shipped(network: Network, name: str) -> Network:
    """Fill a network from weights/<name>.safetensors, in float32 and for inference.

    The files hold float16, or int16 with the step of each row beside it as <key>.step, which is finer.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: the file holds another network's tensors.
    """
    stored = load_file(FOLDER / f"{name}.safetensors")
    network.load_state_dict({key: widen(key, stored) for key in stored if not key.endswith(".step")})
    return network.eval().requires_grad_(False)


def widen(key: str, stored: dict[str, Tensor]) -> Tensor:
    """One of a file's tensors in float32."""
    value, step = stored[key].float(), stored.get(f"{key}.step")
    return value if step is None else value * step
