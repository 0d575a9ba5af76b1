"""Which network does each stage's work, by preset, and how each network is built."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from torch import nn

from contract.names import STAGES
from export.errors import ExportError
from export.networks.colour_segmenter import ColourSegmenter
from export.networks.inflate import Inflate
from export.networks.own import build_own, find_factory
from export.networks.pattern_bank import PatternBank
from export.networks.people.delight import Delight
from export.networks.people.face import Face
from export.networks.people.selfie import Selfie, write_vocabulary
from export.networks.recombine import Recombine
from export.networks.retinex import Retinex

Model = TypeVar("Model")
# To load a model from a hub id or a folder, to build it at full size with random weights, to build it tiny.
Ways: TypeAlias = tuple[Callable[[str], Model], Callable[[], Model], Callable[[], Model]]


@dataclass(frozen=True)
class Options:
    """What networks are built with; each uses what concerns it."""

    patterns: PatternBank
    random_weights: bool = False  # the published architectures without loading their weights
    selection: Literal["best", "union"] = "best"  # SAM3's best instance, or the union of those above the threshold
    steps: int = 1  # Marigold's denoising steps, 1–4
    side: int = 768  # resolution in pixels at which Marigold runs
    autoencoder: Literal["full", "tiny"] = "tiny"  # Marigold's own or the tiny one, whose lost detail is not used
    residual: bool = True  # whether Marigold scores how badly its parts reproduce the photo


@dataclass(frozen=True)
class Choice:
    """A network for one stage."""

    label: str  # its name in BUILDERS and export.json; "package.module:factory" of a user's own network
    source: str | None = None  # hub id or folder of its weights; None for the published ones
    tiny: bool = False  # a few channels wide, with random weights
    checkpoint: Path | None = None  # weights of a user's own network
    tokenizer: str | None = None  # hub id or folder, for a user's own network that reads the prompt


@dataclass(frozen=True)
class Built:
    """A network that is ready to be exported."""

    network: nn.Module
    weights: str  # where they come from: a hub id or a folder, "shipped", "random", or "none"
    write_vocabulary: Callable[[Path], None] | None = None  # into `decode`'s folder, if the network reads the prompt


def get_model(choice: Choice, options: Options, published: str, ways: Ways[Model]) -> tuple[Model, str]:
    """Build or load a model of the hub in the way that is asked for; return it, and where its weights come from."""
    load, random, tiny = ways
    if choice.tiny:
        return tiny(), "random"
    if options.random_weights and choice.source is None:
        return random(), "random"
    source = choice.source or published
    return load(source), source


# transformers and diffusers are imported only where a network needs them.


def build_sam3(choice: Choice, options: Options) -> Built:
    """`segment` by SAM3."""
    from export.networks.hub import sam3

    ways = (sam3.load_sam3, sam3.full_random_sam3, sam3.tiny_sam3)
    model, weights = get_model(choice, options, sam3.SOURCE, ways)
    vocabulary = None if weights == "random" else weights  # random weights must need no download
    return Built(sam3.Sam3Segment(model, options.selection), weights, partial(sam3.write_tokenizer, vocabulary))


def build_marigold(choice: Choice, options: Options) -> Built:
    """`albedo` by latent diffusion."""
    from export.networks.hub import marigold, marigold_random

    ways = (marigold.load_marigold, marigold_random.full_random_marigold, marigold_random.tiny_marigold)
    load, random, tiny = (partial(way, autoencoder=options.autoencoder) for way in ways)
    pipeline, weights = get_model(choice, options, marigold.SOURCE, (load, random, tiny))
    return Built(marigold.MarigoldAlbedo(pipeline, options.steps, options.side, scored=options.residual), weights)


def build_depth(choice: Choice, options: Options) -> Built:
    """`shadow` on the geometry of Depth Anything."""
    from export.networks.hub import depth

    ways = (depth.load_depth, depth.full_random_depth, depth.tiny_depth)
    model, weights = get_model(choice, options, depth.SOURCE, ways)
    return Built(depth.DepthShadow(model, options.patterns), weights)


BUILDERS: Mapping[str, Mapping[str, Callable[[Choice, Options], Built]]] = {
    "segment": {
        "selfie": lambda choice, options: Built(Selfie(), "shipped", write_vocabulary),
        "colour": lambda choice, options: Built(ColourSegmenter(), "none"),
        "sam3": build_sam3,
    },
    "albedo": {
        "delight": lambda choice, options: Built(Delight(), "shipped"),
        "retinex": lambda choice, options: Built(Retinex(), "none"),
        "marigold": build_marigold,
    },
    "shadow": {
        "face": lambda choice, options: Built(Face(options.patterns), "shipped"),
        "inflate": lambda choice, options: Built(Inflate(options.patterns), "none"),
        "depth-anything": build_depth,
    },
    "recombine": {"recombine": lambda choice, options: Built(Recombine(), "none")},
}


def preset(*labels: str, tiny: bool = False) -> Mapping[str, Choice]:
    """Choose a network for each stage, in the order of STAGES."""
    return {stage: Choice(label, tiny=tiny) for stage, label in zip(STAGES, labels, strict=True)}


DEFAULT = "portrait"
PRESETS: Mapping[str, Mapping[str, Choice]] = {
    "portrait": preset("selfie", "delight", "face"),
    "classical": preset("colour", "retinex", "inflate"),
    "tiny": preset("sam3", "marigold", "depth-anything", tiny=True),
    "full": preset("sam3", "marigold", "depth-anything"),
}


def build(stage: str, choice: Choice, options: Options) -> Built:
    """Build the network chosen for a stage.

    Raises:
        ExportError: its weights cannot be had or do not fit, or a user's network cannot be built.
        ImportError: the libraries of the extra `networks` are not installed.
    """
    if ":" in choice.label:
        return build_users(choice)
    try:
        return BUILDERS[stage][choice.label](choice, options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"{choice.label}: {reason}\nName a folder that holds the weights, --{stage} {choice.label}=FOLDER; or "
            "accept the licence on the model's page and log in with `hf auth login`; or build the architecture at "
            "full size without them: --random-weights."
        ) from error


def check_own(choices: Iterable[Choice]) -> None:
    """Import the user's own networks among `choices`, and look for their checkpoints. Raises ExportError."""
    for choice in choices:
        if ":" in choice.label:
            find_factory(choice.label)
        if choice.checkpoint is not None and not choice.checkpoint.is_file():
            raise ExportError(f"{choice.label}: there is no checkpoint {choice.checkpoint}.")


def build_users(choice: Choice) -> Built:
    """A user's own network. Raises ExportError."""
    write = None
    if choice.tokenizer is not None:
        from export.networks.hub.sam3 import write_tokenizer  # CLIP's tokenizer is what `decode` reads

        write = partial(write_tokenizer, choice.tokenizer)
    return Built(build_own(choice.label, choice.checkpoint), str(choice.checkpoint or "built"), write)
