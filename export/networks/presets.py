"""Which network fills each stage, by preset, and how each of them is built."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import nn

from export.networks.inflate import Inflate
from export.networks.own import build_own
from export.networks.pattern_bank import PatternBank
from export.networks.portrait import Portrait
from export.networks.recombine import Recombine
from export.networks.retinex import Retinex


@dataclass(frozen=True)
class Options:
    """What networks are built with; each takes what concerns it.

    Attributes:
        patterns: the bank of shadow patterns.
        cast_shadows: their strength in 0–1.
        random_weights: build the published architectures with random weights instead of loading them.
        selection: SAM3's instance, the best or the union of those above the threshold.
        steps: Marigold's denoising steps, 1–4.
        side: resolution in pixels at which Marigold runs.
        autoencoder: Marigold's own or the tiny one.
        residual: whether Marigold scores how badly its parts miss the photo.
    """

    patterns: PatternBank
    cast_shadows: float = 0.0
    random_weights: bool = False
    selection: Literal["best", "union"] = "best"
    steps: int = 1
    side: int = 768
    autoencoder: Literal["full", "tiny"] = "full"
    residual: bool = True


@dataclass(frozen=True)
class Choice:
    """A network for one stage.

    Attributes:
        label: its name in BUILDERS and in export.json.
        source: hub id or folder of its weights; None for the published ones.
        tiny: build it a few channels wide with random weights.
        checkpoint: weights of a user's own network, whose label is "package.module:factory".
        tokenizer: hub id or folder of the tokenizer of a user's own network that reads the prompt.
    """

    label: str
    source: str | None = None
    tiny: bool = False
    checkpoint: Path | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class Built:
    """A network, and where its weights come from: a hub id or a folder, "random", or "none".

    A network that reads the prompt also has what writes the tokenizer's files into `decode`'s folder.
    """

    network: nn.Module
    weights: str
    write_tokenizer: Callable[[Path], None] | None = None


def build_portrait(choice: Choice, options: Options) -> Built:
    """`segment` by colour."""
    return Built(Portrait(), "none")


def build_sam3(choice: Choice, options: Options) -> Built:
    """`segment` by SAM3."""
    from export.networks import sam3  # transformers is imported only where a network needs it

    if choice.tiny:
        model, weights = sam3.tiny_sam3(seed=0), "random"
    elif options.random_weights and choice.source is None:
        model, weights = sam3.full_random_sam3(seed=0), "random"
    else:
        weights = choice.source or sam3.SOURCE
        model = sam3.load_sam3(weights)
    vocabulary = None if weights == "random" else weights  # none can be downloaded with weights that are not
    return Built(sam3.Sam3Segment(model, options.selection), weights, partial(sam3.write_tokenizer, vocabulary))


def build_retinex(choice: Choice, options: Options) -> Built:
    """`albedo` by multi-scale Retinex."""
    return Built(Retinex(), "none")


def build_marigold(choice: Choice, options: Options) -> Built:
    """`albedo` by latent diffusion."""
    from export.networks import marigold, marigold_random

    if choice.tiny:
        pipeline, weights = marigold_random.tiny_marigold(autoencoder=options.autoencoder), "random"
    elif options.random_weights and choice.source is None:
        pipeline, weights = marigold_random.full_random_marigold(autoencoder=options.autoencoder), "random"
    else:
        weights = choice.source or marigold.SOURCE
        pipeline = marigold.load_marigold(weights, options.autoencoder)
    network = marigold.MarigoldAlbedo(pipeline, options.steps, options.side, scored=options.residual)
    return Built(network, weights)


def build_inflate(choice: Choice, options: Options) -> Built:
    """`shadow` on the mask's silhouette, blown up."""
    return Built(Inflate(options.patterns, options.cast_shadows), "none")


def build_depth(choice: Choice, options: Options) -> Built:
    """`shadow` on the geometry of Depth Anything."""
    from export.networks import depth

    if choice.tiny:
        model, weights = depth.tiny_depth(), "random"
    elif options.random_weights and choice.source is None:
        model, weights = depth.full_random_depth(), "random"
    else:
        weights = choice.source or depth.SOURCE
        model = depth.load_depth(weights)
    return Built(depth.DepthShadow(model, options.patterns, options.cast_shadows), weights)


def build_recombine(choice: Choice, options: Options) -> Built:
    """`recombine`, which is arithmetic and has no alternative."""
    return Built(Recombine(), "none")


class SourceError(Exception):
    """A network's weights cannot be had; the message says why and what to do."""


def build(stage: str, choice: Choice, options: Options) -> Built:
    """Build the network chosen for a stage.

    Raises:
        OwnNetworkError: a user's network cannot be built or loaded.
        SourceError: the weights cannot be found, or are another network's.
        ImportError: the libraries of the extra `networks` are not installed.
    """
    if ":" not in choice.label:
        try:
            return BUILDERS[stage][choice.label](choice, options)
        except (OSError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise SourceError(
                f"{choice.label}: {reason}\nName a folder that holds the weights, --{stage} {choice.label}=FOLDER; or "
                "accept the licence on the model's page and log in with `hf auth login`; or build the architecture at "
                "full size without them: --random-weights."
            ) from error
    network = build_own(choice.label, choice.checkpoint)
    tokenizer = choice.tokenizer
    if tokenizer is None:
        return Built(network, str(choice.checkpoint or "built"))
    from export.networks.sam3 import write_tokenizer  # CLIP's tokenizer is what `decode` reads

    return Built(network, str(choice.checkpoint or "built"), partial(write_tokenizer, tokenizer))


BUILDERS: Mapping[str, Mapping[str, Callable[[Choice, Options], Built]]] = {
    "segment": {"portrait": build_portrait, "sam3": build_sam3},
    "albedo": {"retinex": build_retinex, "marigold": build_marigold},
    "shadow": {"inflate": build_inflate, "depth-anything": build_depth},
    "recombine": {"recombine": build_recombine},
}

PRESETS: Mapping[str, Mapping[str, Choice]] = {
    "classical": {"segment": Choice("portrait"), "albedo": Choice("retinex"), "shadow": Choice("inflate")},
    "tiny": {
        "segment": Choice("sam3", tiny=True),
        "albedo": Choice("marigold", tiny=True),
        "shadow": Choice("depth-anything", tiny=True),
    },
    "full": {"segment": Choice("sam3"), "albedo": Choice("marigold"), "shadow": Choice("depth-anything")},
}
