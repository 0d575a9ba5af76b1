"""NVIDIA's perf_analyzer: the one on the PATH, or one that installs itself into build/ at its first use."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import ROOT
from benchmarks.rig.report import BenchmarkError
from contract.names import ENSEMBLE

# The last release whose wheel carries a perf_analyzer that runs on glibc 2.36; the project's own tritonclient is newer.
VERSION = "2.51.0"
REQUIREMENT = f"tritonclient=={VERSION} --hash=sha256:c485bb0123bdf310f90bc8b03d3489b28df2ffed55b30c7eee0b795b48113d52"
BUILD = ROOT / "build" / "perf_analyzer"
# What the binary is linked with and no distribution brings: copies lie in nvidia-pytriton's wheel under longer names.
LIBRARIES = {"libb64.so.0d": "libb64*.so.0d", "libcudart.so.12": "libcudart*.so.12*"}


def find_perf_analyzer() -> Path:
    """The perf_analyzer on the PATH, as in NVIDIA's SDK image, or else the one in build/, installed if need be.

    Raises BenchmarkError: it cannot be installed.
    """
    on_path = shutil.which("perf_analyzer")
    if on_path is not None:
        return Path(on_path)
    binary = BUILD / VERSION / "bin" / "perf_analyzer"
    if not binary.exists():
        print(f"Installing perf_analyzer {VERSION} into {BUILD}, once.", file=sys.stderr)
        install(binary)
    return binary


def install(binary: Path) -> None:
    """Let pip install the pinned wheel into a folder of its own, where it disturbs nothing.

    The folder appears only when the binary in it has run, so an interrupted installation leaves nothing to repair.

    Raises BenchmarkError: the wheel or a library cannot be had, or the binary does not run here.
    """
    spec = importlib.util.find_spec("pytriton")
    home = Path(spec.origin).parent.parent / "nvidia_pytriton.libs" if spec and spec.origin else Path("nowhere")
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="installing-") as scratch:
        folder = Path(scratch) / VERSION
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pip += ["--only-binary=:all:", "--require-hashes", "--target", str(folder), "--requirement", "/dev/stdin"]
        check(pip, f"perf_analyzer {VERSION} cannot be installed, check the network and pip's index", REQUIREMENT)
        fresh = folder / "bin" / "perf_analyzer"
        for name, pattern in LIBRARIES.items():
            library = next(home.glob(pattern), None)
            if library is None:
                raise BenchmarkError(
                    f"perf_analyzer needs {name}, which nvidia-pytriton has: pip install 'relight-triton[server]'."
                )
            shutil.copy2(library, fresh.parent / name)
        check([str(fresh), "--version"], f"perf_analyzer {VERSION} does not run on this system")
        try:
            folder.rename(binary.parents[1])
        except OSError as error:
            if not binary.exists():  # else another process was faster
                raise BenchmarkError(f"{binary.parents[1]} is in the way ({error.strerror}): remove it.") from error


def check(command: list[str], sentence: str, text: str = "") -> None:
    """Run a command with `text` as its input. Raises BenchmarkError: it fails; its last words follow the sentence."""
    env = environment(Path(command[0]))
    done = subprocess.run(command, env=env, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"{sentence}: {(done.stderr.strip().splitlines() or ['no reason was given'])[-1]}")


def environment(binary: Path) -> dict[str, str]:
    """Our environment with the libraries beside `binary` before all others."""
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([str(binary.parent), *([inherited] if inherited else [])])}


def analyzer_command(
    binary: Path, url: str, input_data: Path, concurrency: str | int, *options: str, model: str = ENSEMBLE
) -> list[str]:
    """perf_analyzer over gRPC with requests from a file, so many of them in flight."""
    command = [str(binary), "-m", model, "-i", "grpc", "-u", url, "--input-data", str(input_data)]
    return [*command, "--concurrency-range", str(concurrency), *options]
