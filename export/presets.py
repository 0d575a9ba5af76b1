"""Which network fills each stage, by preset."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from export.inflate import Inflate
from export.pattern_bank import PatternBank
from export.portrait import Portrait
from export.recombine import Recombine
from export.retinex import Retinex


@dataclass(frozen=True)
class Light:
    """What the shadow network is built with.

    Attributes:
        patterns: the bank of shadow patterns.
        cast: strength of cast shadows in 0–1.
    """

    patterns: PatternBank
    cast: float


@dataclass(frozen=True)
class Choice:
    """A network for one stage: its name in export.json and how to build it."""

    label: str
    build: Callable[[Light], nn.Module]


PRESETS: dict[str, dict[str, Choice]] = {
    "classical": {
        "segment": Choice("portrait", lambda light: Portrait()),
        "albedo": Choice("retinex", lambda light: Retinex()),
        "shadow": Choice("inflate", lambda light: Inflate(light.patterns, light.cast)),
        "recombine": Choice("recombine", lambda light: Recombine()),
    },
}
