"""`python -m export`: write the networks of a preset into a model repository, each checked against its original."""

import argparse
import logging
import sys
import time
from pathlib import Path

from export.contract import HOUSE, read_contract
from export.onnx_file import ExportMismatchError, export_onnx
from export.presets import PRESETS
from export.repository import lay_out


def main() -> int:
    """Export; return 0, or 1 when a network's file does not compute what the network computes."""
    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default="classical", help="which networks")
    parser.add_argument("--repository", type=Path, default=HOUSE, help="model repository to write to")
    arguments = parser.parse_args()

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # the exporter's notes on absent optional packages
    lay_out(arguments.repository)
    for name, choice in PRESETS[arguments.preset].items():
        print(f"{name:<10} {choice.label:<10} exporting …", end=" ", flush=True)
        started = time.monotonic()
        try:
            differences = export_onnx(
                choice.build(), read_contract(name), choice.label, arguments.repository / name / "1"
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
