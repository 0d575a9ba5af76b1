"""Measurements of the running system, each figure beside its ideal. Commands stand on `rig/`, not on each other."""

import os
from pathlib import Path

# ONNX Runtime reports to its maker unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = ROOT / "model_repository"
SAMPLES = ROOT / "samples"
CORES = len(os.sched_getaffinity(0))
