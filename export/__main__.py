"""`python -m export`: write the networks of a preset into a model repository, each checked against its original."""

import argparse
import logging
import sys
import time
from pathlib import Path

from export.contract import HOUSE, read_contract
from export.onnx_file import ExportMismatchError, export_onnx
from export.pattern_bank import MaterialsError, PatternBank
from export.presets import PRESETS, Light
from export.repository import lay_out


def main() -> int:
    """Export; return 0, or 1 when a network's file does not compute what the network computes."""
    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="classical", help="which networks")
    parser.add_argument("--repository", type=Path, default=HOUSE, help="model repository to write to")
    parser.add_argument("--materials", type=Path, metavar="DIR", help="gray images (dark = shadow) as further patterns")
    parser.add_argument("--materials-only", action="store_true", help="leave the ten built-in patterns out")
    parser.add_argument("--cast-shadows", type=float, default=0.0, metavar="S", help="strength of cast shadows, 0–1")
    arguments = parser.parse_args()
    if arguments.materials_only and arguments.materials is None:
        parser.error("--materials-only needs --materials DIR")
    if not 0.0 <= arguments.cast_shadows <= 1.0:
        parser.error(f"--cast-shadows is a strength from 0 to 1, not {arguments.cast_shadows:g}")

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # the exporter's notes on absent optional packages
    lay_out(arguments.repository)
    try:
        patterns = PatternBank(arguments.materials, built_in=not arguments.materials_only)
    except MaterialsError as error:
        print(error, file=sys.stderr)
        return 1
    light = Light(patterns, arguments.cast_shadows)
    for name, choice in PRESETS[arguments.preset].items():
        print(f"{name:<10} {choice.label:<10} exporting …", end=" ", flush=True)
        started = time.monotonic()
        try:
            details = {"patterns": list(patterns.names)} if name == "shadow" else {}
            differences = export_onnx(
                choice.build(light), read_contract(name), choice.label, arguments.repository / name / "1", details
            )
        except ExportMismatchError as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
        worst = max(found.largest for found in differences)
        print(f"{time.monotonic() - started:.0f} s, differs from the network by at most {worst:.1e} of its range")
    print(f"Wrote preset {arguments.preset} to {arguments.repository}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
