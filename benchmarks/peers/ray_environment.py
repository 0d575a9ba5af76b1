"""The environment that Ray Data needs of its own: its pandas wants NumPy 2, Triton's Python processes NumPy 1."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "ray"
PYTHON = ENVIRONMENT / "bin" / "python"
READY = ENVIRONMENT / "ready"  # written last: an interrupted installation is done again
# OpenCV's and ONNX Runtime's versions are those of pyproject.toml, or the pictures might differ.
PACKAGES = ("ray[data]==2.60.0", "onnxruntime==1.32.0", "opencv-python-headless==4.11.0.86", "numpy>=2")
COMMAND = "python -m benchmarks peers install-ray"


def is_installed() -> bool:
    """Whether the environment is there, and whole."""
    return READY.exists()


def install() -> int:
    """Make the environment, about 1 GB; return pip's exit code."""
    if is_installed():
        print(f"Ray Data is installed in {ENVIRONMENT}.")
        return 0
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
    code = subprocess.run(pip, check=False).returncode
    if code == 0:
        READY.touch()
        print(f"Ray Data is installed in {ENVIRONMENT}.")
    else:
        print("Ray Data could not be installed: check the network and pip's index.", file=sys.stderr)
    return code
