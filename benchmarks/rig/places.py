"""The project's folders, and this machine's cores."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"
SAMPLES = ROOT / "samples"
CORES = len(os.sched_getaffinity(0))
