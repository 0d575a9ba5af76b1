"""`python -m export`: write the networks of a preset into a model repository, each held to its original."""

import logging
import os
import sys
import time

from export.check.gate import ExportMismatchError, Measurement
from export.check.reference import ContractError
from export.check.verify import verify
from export.exporter import Candidate, export
from export.files.formats import Format
from export.files.repository import lay_out, lay_tokenizer
from export.networks.own import OwnNetworkError
from export.networks.pattern_bank import MaterialsError, PatternBank
from export.networks.presets import Choice, Options, SourceError, build
from export.options import Command, read_command


def main(argv: list[str] | None = None) -> int:
    """Export or verify; return 0, 1 when a network cannot be had or its file is not faithful, 130 when interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["verify"]:
        return verify(argv[1:])
    command = read_command(__doc__, argv)
    quieten()
    lay_out(command.repository)
    try:
        options = building_options(command)
        for stage, choice in command.choices.items():
            export_stage(command, stage, choice, options)
    except (ContractError, ExportMismatchError, MaterialsError, OwnNetworkError, SourceError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"\n{error}: `pip install 'relight-triton[export,networks]'`", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the network at hand is as it was before.", file=sys.stderr)
        return 130
    print(f"Wrote preset {command.arguments.preset} to {command.repository}")
    return 0


def building_options(command: Command) -> Options:
    """What networks are built with. Raises MaterialsError."""
    given = command.arguments
    patterns = PatternBank(given.materials, built_in=not given.materials_only)
    return Options(
        patterns=patterns,
        cast_shadows=given.cast_shadows,
        random_weights=given.random_weights,
        selection=given.selection,
        steps=given.steps,
        side=given.side,
        autoencoder=given.autoencoder,
        residual=given.residual,
    )


def export_stage(command: Command, stage: str, choice: Choice, options: Options) -> None:
    """Build, export and install one network, telling of each step."""
    started = time.monotonic()
    print(f"{stage:<10} {choice.label:<15} building", end="", flush=True)
    built = build(stage, choice, options)
    file_format: Format = "onnx" if stage == "recombine" else command.file_format
    details = {"patterns": list(options.patterns.names)} if choice.label in ("inflate", "depth-anything") else {}
    candidate = Candidate(stage, choice.label, built.weights, built.network, file_format, command.precision, details)
    folder = command.repository / stage / "1"
    print(f" {time.monotonic() - started:.0f} s", end="", flush=True)
    found = export(candidate, folder, lambda text: print(text, end="", flush=True))
    if stage == "segment":
        lay_tokenizer(command.repository, built.write_tokenizer)
    print(f": {conclude(found)}", flush=True)


def conclude(found: list[Measurement]) -> str:
    """The worst value of each measure, in words."""
    worst: dict[str, Measurement] = {}
    for one in found:
        known = worst.get(one.measure)
        if known is None or (one.value > known.value) == one.at_most:
            worst[one.measure] = one
    return ", ".join(f"{one.measure} {one.value:.3g}" for one in worst.values() if one.measure != "differing")


def quieten() -> None:
    """Silence what the libraries print about themselves."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # absent optional packages
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    sys.exit(main())
