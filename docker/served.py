"""Records which combinations of networks, configs, GPUs and Triton were verified."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from docker.places import ENGINES
from server.gpus import Gpu
from server.pytorch import read_report


def fingerprint(repository: Path, config_name: str, gpus: Sequence[Gpu], tensorrt: str | None) -> str:
    """Name what a server serves: checksums and configs of the networks, kinds of GPU, versions of Triton and TensorRT.

    Raises ServerError: an export.json cannot be read.
    """
    reports = {model.name: read_report(model) for model in sorted(repository.iterdir()) if model.is_dir()}
    facts = {
        "networks": {name: report.get("sha256") for name, report in reports.items() if report},
        "configs": [file.read_text("utf-8") for file in sorted(repository.glob(f"*/configs/{config_name}.pbtxt"))],
        "gpus": [gpu.name for gpu in gpus],
        "triton": os.environ.get("TRITON_SERVER_VERSION"),
        "tensorrt": tensorrt,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def announce(served: str, folder: Path = ENGINES) -> None:
    """Record what the server is about to serve."""
    partial = folder / f"serving.{os.getpid()}.partial"
    partial.write_text(served, "utf-8")
    partial.replace(folder / "serving")


def serving(folder: Path = ENGINES) -> str:
    """What the server serves. Raises FileNotFoundError before it was first started."""
    return (folder / "serving").read_text("utf-8")


def verified(served: str, folder: Path = ENGINES) -> Path:
    """The file that exists once `served` was verified. It is beside the engines, and is removed with them."""
    return folder / f"verified-{served}"
