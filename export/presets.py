"""Which network fills each stage, by preset."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from export.inflate import Inflate
from export.portrait import Portrait
from export.recombine import Recombine
from export.retinex import Retinex


@dataclass(frozen=True)
class Choice:
    """A network for one stage: its name in export.json and how to build it."""

    label: str
    build: Callable[[], nn.Module]


PRESETS: dict[str, dict[str, Choice]] = {
    "classical": {
        "segment": Choice("portrait", Portrait),
        "albedo": Choice("retinex", Retinex),
        "shadow": Choice("inflate", Inflate),
        "recombine": Choice("recombine", Recombine),
    },
}
