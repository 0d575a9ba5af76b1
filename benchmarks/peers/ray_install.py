"""The environment that Ray Data needs of its own: its pandas wants NumPy 2, Triton's Python processes NumPy 1."""

import shutil
import subprocess
import sys

from benchmarks.rig.places import ROOT

ENVIRONMENT = ROOT / "build" / "ray"
PYTHON = ENVIRONMENT / "bin" / "python"
READY = ENVIRONMENT / "ready"  # written last: an interrupted installation is done again
# OpenCV's and ONNX Runtime's versions are those of pyproject.toml, or the pictures might differ.
PACKAGES = (
    "ray[data]==2.60.0",
    "onnxruntime==1.32.0",
    "opencv-python-headless==4.11.0.86",
    "numpy>=2",
    "tomli>=2; python_version < '3.11'",
)
OBSTACLE = "it is not installed: `python -m benchmarks peers install-ray` does that"


def install() -> int:
    """Make the environment, about 1 GB; return pip's exit code."""
    code = 0
    if not READY.exists():
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        code = subprocess.run(pip, check=False).returncode
    if code:
        print("Ray Data could not be installed: check the network and pip's index.", file=sys.stderr)
        return code
    READY.touch()
    print(f"Ray Data is installed in {ENVIRONMENT}.")
    return 0
