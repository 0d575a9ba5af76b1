"""The command line of `python -m export`."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from export.check.gate import PRECISIONS, Precision
from export.files.formats import FORMATS, Format
from export.networks.presets import BUILDERS, PRESETS, Choice
from export.tensors import HOUSE

STAGES = ("segment", "albedo", "shadow")


@dataclass(frozen=True)
class Command:
    """What a command line asks for."""

    repository: Path
    choices: Mapping[str, Choice]
    file_format: Format
    precision: Precision
    arguments: argparse.Namespace  # what networks are built with


# Options that only one network heeds: its stage and name.
OF_ONE_NETWORK = {
    "selection": ("segment", "sam3"),
    **dict.fromkeys(("steps", "side", "autoencoder", "residual"), ("albedo", "marigold")),
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m export",
        description=description,
        epilog="`python -m export verify DIR` compares an export with its network again, on any machine",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--preset", choices=sorted(PRESETS), default="classical", help="which networks")
    for stage in STAGES:
        names = ", ".join(BUILDERS[stage])
        text = f"instead of the preset's: {names}; NAME=SOURCE takes a hub id or folder; or your own network's factory"
        made.add_argument(f"--{stage}", metavar="NAME[=SOURCE] | MODULE:FACTORY", help=text, default=argparse.SUPPRESS)
    made.add_argument(
        "--checkpoint",
        metavar="[STAGE=]FILE",
        action="append",
        default=[],
        help="weights of your own network: .safetensors, or a state dict of torch.save",
    )
    made.add_argument("--tokenizer", metavar="SOURCE", help="CLIP tokenizer of your own network that reads the prompt")
    made.add_argument("--random-weights", action="store_true", help="full size without weights, for capacity planning")
    made.add_argument("--format", choices=FORMATS, default="onnx", help="recombine is ONNX always")
    made.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of networks that have weights")
    made.add_argument("--selection", choices=("best", "union"), default="best", help="sam3: which instances")
    made.add_argument("--steps", type=int, choices=(1, 2, 3, 4), default=1, help="marigold: denoising steps")
    made.add_argument("--side", type=int, default=768, metavar="PIXELS", help="marigold: resolution, a divisor of 768")
    made.add_argument(
        "--autoencoder", choices=("full", "tiny"), default="full", help="marigold: its own or the tiny one"
    )
    made.add_argument(
        "--residual",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="marigold: score how badly its parts miss the photo, for half of the network's time",
    )
    made.add_argument("--materials", type=Path, metavar="DIR", help="gray images (dark = shadow) as further patterns")
    made.add_argument("--materials-only", action="store_true", help="leave the ten built-in patterns out")
    made.add_argument("--cast-shadows", type=float, default=0.0, metavar="S", help="strength of cast shadows, 0–1")
    made.add_argument("--repository", type=Path, default=HOUSE, help="model repository to write to")
    return made


def read_command(description: str | None, argv: list[str]) -> Command:
    """Parse a command line; what cannot be exits as argparse does."""
    line = parser(description)
    arguments = line.parse_args(argv)
    if arguments.materials_only and arguments.materials is None:
        line.error("--materials-only needs --materials DIR")
    if not 0.0 <= arguments.cast_shadows <= 1.0:
        line.error(f"--cast-shadows is a strength from 0 to 1, not {arguments.cast_shadows:g}")
    if arguments.side < 8 or 768 % arguments.side or arguments.side % 8:
        line.error(f"--side must divide 768 and be a multiple of 8, such as 768, 384 or 192; {arguments.side} does not")
    if arguments.format == "onnx" and arguments.precision == "bf16":
        line.error("ONNX Runtime has no bf16 convolutions: take --precision fp16, or --format torchscript")
    try:
        choices = dict(PRESETS[arguments.preset])
        for stage in STAGES:
            if stage in arguments:
                choices[stage] = read_choice(stage, getattr(arguments, stage))
        add_checkpoints(choices, arguments.checkpoint)
        if arguments.tokenizer is not None:
            if ":" not in choices["segment"].label:
                raise ValueError("--tokenizer is for your own segment network; the others bring theirs")
            choices["segment"] = replace(choices["segment"], tokenizer=arguments.tokenizer)
    except ValueError as error:
        line.error(str(error))
    for name, (stage, label) in OF_ONE_NETWORK.items():
        if getattr(arguments, name) != line.get_default(name) and choices[stage].label != label:
            option = "--no-residual" if name == "residual" else f"--{name}"
            line.error(f"{option} is for {label}, and {stage} is {choices[stage].label}: add --{stage} {label}")
    choices["recombine"] = Choice("recombine")
    return Command(arguments.repository, choices, arguments.format, arguments.precision, arguments)


def read_choice(stage: str, text: str) -> Choice:
    """Parse NAME, NAME=SOURCE or MODULE:FACTORY. Raises ValueError."""
    label, has_source, source = text.partition("=")
    if label in BUILDERS[stage]:
        if has_source and not source:
            raise ValueError(f"--{stage} {text} names no source: write {label}=FOLDER, or {label} alone")
        return Choice(label, source or None)
    if ":" in label and not has_source:
        return Choice(label)
    names = ", ".join(BUILDERS[stage])
    raise ValueError(f"--{stage} {text} is unknown: choose from {names}, or name your own as package.module:factory")


def add_checkpoints(choices: dict[str, Choice], checkpoints: list[str]) -> None:
    """Give each checkpoint to the network it is for, the only one of the user's own unless named. Raises ValueError."""
    own = [stage for stage in STAGES if ":" in choices[stage].label]
    for text in checkpoints:
        stage, named, file = text.partition("=")
        if not named or stage not in STAGES:
            stage, file = own[0] if len(own) == 1 else "", text
        if not own:
            raise ValueError(
                f"--checkpoint {text} is for a network of your own: name it, e.g. --albedo my_pkg.nets:build"
            )
        if stage not in own:
            raise ValueError(f"--checkpoint {text} must say for which network: --checkpoint {own[0]}=FILE")
        choices[stage] = replace(choices[stage], checkpoint=Path(file))
