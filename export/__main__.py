"""`python -m export`: write the networks of a preset into a model repository, each file compared with its network."""

import logging
import os
import sys
import time
from dataclasses import fields
from typing import Any

from contract.command import INTERRUPTED, run
from export.check.gate import Measurement
from export.check.verify import verify
from export.errors import ExportError
from export.exporter import Candidate, export
from export.files.repository import lay_out, lay_vocabulary
from export.networks.pattern_bank import PatternBank
from export.networks.presets import Choice, Options, build, check_own
from export.networks.shading import Shadow
from export.options import Command, read_command


def main(argv: list[str] | None = None) -> int:
    """Export or verify; return 0, 1 if a network cannot be had or its file is not faithful, 130 if interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["verify"]:
        return verify(argv[1:])
    command = read_command(argv)
    hide_library_messages()
    given = command.arguments
    settings: dict[str, Any] = {one.name: getattr(given, one.name) for one in fields(Options) if one.name in given}
    try:
        check_own(command.choices.values())
        options = Options(PatternBank(given.materials, built_in=not given.materials_only), **settings)
        lay_out(command.repository)
        for stage, choice in command.choices.items():
            export_stage(command, stage, choice, options)
    except ExportError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"\n{error}: `pip install 'relight-triton[export,networks]'`", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: the network at hand is as it was before.", file=sys.stderr)
        return INTERRUPTED
    print(f"Wrote {' and '.join(given.only) or f'preset {given.preset}'} to {command.repository}")
    return 0


def export_stage(command: Command, stage: str, choice: Choice, options: Options) -> None:
    """Build, export and install one network; print each step."""
    started = time.monotonic()
    print(f"{stage:<10} {choice.label:<15} building", end="", flush=True)
    built = build(stage, choice, options)
    details = {"patterns": list(built.network.patterns.names)} if isinstance(built.network, Shadow) else {}
    file_format = "onnx" if stage == "recombine" else command.file_format
    candidate = Candidate(stage, choice.label, built.weights, built.network, file_format, command.precision, details)
    print(f" {time.monotonic() - started:.0f} s", end="", flush=True)
    found = export(candidate, command.repository / stage / "1", lambda text: print(text, end="", flush=True))
    if stage == "segment":
        lay_vocabulary(command.repository, built.write_vocabulary)
    print(f": {conclude(found)}", flush=True)


def conclude(found: list[Measurement]) -> str:
    """The worst value of each measure, in words."""
    worst: dict[str, Measurement] = {}
    for one in found:
        known = worst.get(one.measure)
        if known is None or (one.value > known.value) == one.at_most:
            worst[one.measure] = one
    return ", ".join(f"{one.measure} {one.value:.3g}" for one in worst.values() if one.measure != "differing")


def hide_library_messages() -> None:
    """Hide what the libraries print about themselves."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # absent optional packages
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    run(main)
