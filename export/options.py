"""The command line of `python -m export`."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from contract.names import NETWORKS, STAGES
from export.check.gate import PRECISIONS, Precision
from export.files.formats import FORMATS, Format
from export.networks.fp8 import multiplied_here
from export.networks.presets import BUILDERS, DEFAULT, PRESETS, Choice
from export.tensors import REPOSITORY

# Options of one network only: its stage and name.
OF_ONE_NETWORK = dict.fromkeys(("steps", "side", "autoencoder", "residual"), ("albedo", "marigold"))
OF_ONE_NETWORK["selection"] = ("segment", "sam3")
DESCRIPTION = """\
Write the networks of a preset into a model repository. A file is kept only if it computes what its network computes.

example: python -m export --preset full --segment sam3=checkpoints/ours --precision fp16
"""
EPILOG = "`python -m export verify DIR` compares the files of a repository with their networks again, on any machine."


@dataclass(frozen=True)
class Command:
    """What a command line asks for."""

    choices: Mapping[str, Choice]  # of each network that is to be written
    file_format: Format
    precision: Precision
    repository: Path
    arguments: argparse.Namespace  # what networks are built with


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m export",
        usage="%(prog)s [options]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = made.add_argument, " (default: %(default)s)"
    add("--preset", choices=sorted(PRESETS), default=DEFAULT, help=f"choose a network for each stage{default}")
    for stage in STAGES:
        text = f"replace the preset's {stage}: {', '.join(BUILDERS[stage])}, with SOURCE a hub id or folder of its "
        text += "weights, or the function that builds your own network (default: the preset's)"
        add(f"--{stage}", metavar="NAME[=SOURCE] | MODULE:FACTORY", help=text, default=argparse.SUPPRESS)
    text = "load weights into your own network: .safetensors, or a state dict of torch.save (default: none)"
    add("--checkpoint", metavar="[STAGE=]FILE", action="append", default=[], help=text)
    text = "use this CLIP tokenizer for your own segment network that reads the prompt (default: none)"
    add("--tokenizer", metavar="SOURCE", help=text)
    text = "build the published sizes without weights, for capacity planning (default: load the weights)"
    add("--random-weights", action="store_true", help=text)
    add(
        "--format",
        choices=FORMATS,
        default="onnx",
        help=f"write this format, aoti compiled for this machine's chip; recombine is always ONNX{default}",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help=f"cast networks that have weights; fp8: large matrix products, on Hopper{default}",
    )
    text = f"sam3: give the best instance, or the union of those above the score threshold{default}"
    add("--selection", choices=("best", "union"), default="best", help=text)
    add("--steps", type=int, choices=(1, 2, 3, 4), default=1, help=f"marigold: run so many denoising steps{default}")
    text = f"marigold: run at this resolution, a divisor of 768, in pixels{default}"
    add("--side", type=int, default=768, metavar="PIXELS", help=text)
    text = f"marigold: use its own autoencoder or the tiny one, a sixth of the work{default}"
    add("--autoencoder", choices=("full", "tiny"), default="tiny", help=text)
    text = "marigold: score how badly its parts reproduce the photo, by decoding three targets (default: yes)"
    add("--residual", action=argparse.BooleanOptionalAction, default=True, help=text)
    text = "add a folder of gray images (dark = shadow) to the ten built-in shadow patterns (default: none)"
    add("--materials", type=Path, metavar="DIR", help=text)
    text = "leave the ten built-in patterns out (default: keep them)"
    add("--materials-only", action="store_true", help=text)
    text = "write this network alone and leave the others as they are; may be repeated (default: write all)"
    add("--only", choices=NETWORKS, action="append", default=[], help=text)
    add("--repository", type=Path, default=REPOSITORY, metavar="DIR", help=f"write to this model repository{default}")
    return made


def read_command(argv: list[str]) -> Command:
    """Parse a command line; exit as argparse does if it is impossible."""
    line = parser()
    arguments = line.parse_args(argv)
    if arguments.materials_only and arguments.materials is None:
        line.error("--materials-only needs --materials DIR")
    if arguments.side < 8 or 768 % arguments.side or arguments.side % 8:
        line.error(f"--side must divide 768 and be a multiple of 8, such as 768, 384 or 192; {arguments.side} does not")
    if arguments.format == "onnx" and arguments.precision == "bf16":
        line.error("ONNX Runtime has no bf16 convolutions: use --precision fp16 or --format torchscript")
    if arguments.precision == "fp8" and not (arguments.format == "aoti" and multiplied_here()):
        line.error("--precision fp8 is for --format aoti on a Hopper GPU (compute capability 9.0) or newer: use fp16")
    try:
        choices = read_choices(arguments)
    except ValueError as error:
        line.error(str(error))
    for name, (stage, label) in OF_ONE_NETWORK.items():
        if getattr(arguments, name) != line.get_default(name) and choices[stage].label != label:
            option = "--no-residual" if name == "residual" else f"--{name}"
            line.error(f"{option} is for {label}, and {stage} is {choices[stage].label}: add --{stage} {label}")
    wanted = {name: choices[name] for name in NETWORKS if name in (arguments.only or NETWORKS)}
    return Command(wanted, arguments.format, arguments.precision, arguments.repository, arguments)


def read_choices(arguments: argparse.Namespace) -> dict[str, Choice]:
    """The network of each stage and `recombine`. Raises ValueError."""
    choices = dict(PRESETS[arguments.preset])
    for stage in STAGES:
        if stage in arguments:
            choices[stage] = read_choice(stage, getattr(arguments, stage))
    add_checkpoints(choices, arguments.checkpoint)
    if arguments.tokenizer is not None:
        if ":" not in choices["segment"].label:
            raise ValueError("--tokenizer is for your own segment network; the others bring theirs")
        choices["segment"] = replace(choices["segment"], tokenizer=arguments.tokenizer)
    return {**choices, "recombine": Choice("recombine")}


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
    """Give each checkpoint to the network it names, or to the user's own if there is only one. Raises ValueError."""
    own = [stage for stage in STAGES if ":" in choices[stage].label]
    for text in checkpoints:
        stage, named, file = text.partition("=")
        if not named or stage not in STAGES:
            stage, file = own[0] if len(own) == 1 else "", text
        if not own:
            example = "--albedo my_pkg.nets:build"
            raise ValueError(f"--checkpoint {text} is for a network of your own: name it, e.g. {example}")
        if stage not in own:
            raise ValueError(f"--checkpoint {text} must say for which network: --checkpoint {own[0]}=FILE")
        choices[stage] = replace(choices[stage], checkpoint=Path(file))
