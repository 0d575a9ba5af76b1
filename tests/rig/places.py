"""Where the tests find the project's files, whatever folder a test is in."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples"
REPOSITORY = ROOT / "model_repository"


def as_triton_does(model: str) -> None:
    """Let the modules beside a Python model of Triton's be imported, as its own first lines do."""
    sys.path.insert(0, str(REPOSITORY / model / "1"))
