"""NVIDIA's perf_analyzer against the ensemble, with a real photo: find or install it, write its input, run it.

    python -m benchmarks.perf_analyzer install
    python -m benchmarks.perf_analyzer run --url localhost:8001 --photo samples/grace_hopper.jpg --concurrency 1:8

Whatever follows ` -- ` goes to perf_analyzer as it is, e.g. `-- --request-count 100 -f report.csv`.
"""

import argparse
import base64
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

# The last release whose wheel carries a perf_analyzer that runs on glibc 2.36; from 2.53 on it needs 2.38.
VERSION = "2.51.0"
BUILD = Path(__file__).resolve().parent.parent / "build" / "perf_analyzer"
UNPACKED = BUILD / VERSION / "perf_analyzer"
# What the binary is linked with and no distribution brings: copies lie in nvidia-pytriton's wheel under longer names.
LIBRARIES = {"libb64.so.0d": "libb64*.so.0d", "libcudart.so.12": "libcudart*.so.12*"}

# One white light from the upper left, in the order of the ensemble's LIGHT (model_repository/relight/config.pbtxt).
LIGHT = (-0.5, -0.5, 0.7071, 0.7, 1.0, 0.0, 32.0, 0.0, 0.5, 31.0, 0.2, 1.0, 1.0, 1.0, 0.0, 128.0)


class PerfAnalyzerError(Exception):
    """There is no perf_analyzer, or it cannot be installed; the message says why and what to do."""


def find_perf_analyzer() -> Path:
    """Return the perf_analyzer on the PATH, as in NVIDIA's SDK image, or else the one that `install` unpacked.

    Raises:
        PerfAnalyzerError: there is neither.
    """
    on_path = shutil.which("perf_analyzer")
    if on_path is not None:
        return Path(on_path)
    if UNPACKED.exists():
        return UNPACKED
    raise PerfAnalyzerError(
        "There is no perf_analyzer: run `python -m benchmarks.perf_analyzer install`, or use NVIDIA's Triton SDK image."
    )


def install_perf_analyzer() -> Path:
    """Unpack perf_analyzer from the tritonclient wheel into build/perf_analyzer/, unless it is there; return it.

    The folder appears only when the binary in it has run, so an interrupted installation leaves nothing to repair.

    Raises:
        PerfAnalyzerError: the wheel cannot be fetched, holds no binary for this machine, or the binary does not run.
    """
    if UNPACKED.exists():
        return UNPACKED
    libraries = find_libraries()
    BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="unpacking-") as scratch:
        wheel = download_wheel(Path(scratch))
        folder = Path(scratch) / VERSION
        folder.mkdir()
        binary = unpack_binary(wheel, folder)
        for name, library in libraries.items():
            shutil.copy2(library, folder / name)
        check_it_runs(binary)
        try:
            folder.rename(UNPACKED.parent)
        except OSError as error:
            if not UNPACKED.exists():  # else another process was faster
                raise PerfAnalyzerError(f"{UNPACKED.parent} is in the way ({error.strerror}): remove it.") from error
    return UNPACKED


def find_libraries() -> dict[str, Path]:
    """Return the files that serve as LIBRARIES, by the names the binary asks for.

    Raises:
        PerfAnalyzerError: the wheel that holds them is not installed.
    """
    spec = importlib.util.find_spec("pytriton")
    home = Path(spec.origin).parent.parent / "nvidia_pytriton.libs" if spec and spec.origin else None
    found = {name: next(home.glob(pattern), None) if home else None for name, pattern in LIBRARIES.items()}
    missing = [name for name, library in found.items() if library is None]
    if missing:
        raise PerfAnalyzerError(
            f"perf_analyzer needs {' and '.join(missing)}, which the wheel nvidia-pytriton carries: "
            "run `pip install 'relight-triton[server]'`."
        )
    return {name: library for name, library in found.items() if library is not None}


def download_wheel(folder: Path) -> Path:
    """Fetch tritonclient's wheel for the running platform with pip; nothing is installed.

    Raises:
        PerfAnalyzerError: pip is missing or fails; its last words are in the message.
    """
    package = f"tritonclient=={VERSION}"
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, package], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise PerfAnalyzerError(f"{package} cannot be downloaded ({reason}): check the network and pip's index.")
    return wheels[0]


def unpack_binary(wheel: Path, folder: Path) -> Path:
    """Write the perf_analyzer that a wheel installs as a script into `folder`.

    Raises:
        PerfAnalyzerError: this platform's wheel holds none.
    """
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if PurePosixPath(name).name == "perf_analyzer" and ".data/" in name:
                binary = folder / "perf_analyzer"
                binary.write_bytes(archive.read(name))
                binary.chmod(0o755)
                return binary
    raise PerfAnalyzerError(f"{wheel.name} holds no perf_analyzer: there is one for Linux on x86-64 only.")


def check_it_runs(binary: Path) -> None:
    """Ask a freshly unpacked binary for its version.

    Raises:
        PerfAnalyzerError: the system's loader refuses it, e.g. for an older glibc or a missing libssl.so.3.
    """
    command = [str(binary), "--version"]
    done = subprocess.run(command, env=environment(binary), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PerfAnalyzerError(f"perf_analyzer {VERSION} does not run on this system: {done.stderr.strip()}")


def environment(binary: Path) -> dict[str, str]:
    """Return our environment with the libraries beside `binary` before all others."""
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": ":".join([str(binary.parent), *([inherited] if inherited else [])])}


def run_perf_analyzer(
    arguments: Sequence[str], *, model: str = "relight", capture: bool = False, timeout: float | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run perf_analyzer with further arguments and return how it ended (0, or 99 when a request failed).

    Args:
        arguments: as on its command line.
        model: whom to send requests.
        capture: keep stdout and stderr in the result instead of showing them.
        timeout: seconds, None for as long as it takes.

    Raises:
        PerfAnalyzerError: there is no perf_analyzer.
        subprocess.TimeoutExpired: it took longer; it is killed.
    """
    binary = find_perf_analyzer()
    command = [str(binary), "-m", model, *arguments]
    return subprocess.run(
        command, env=environment(binary), capture_output=capture, text=True, timeout=timeout, check=False
    )


def write_input(
    file: Path,
    photo: Path,
    *,
    prompt: str = "person",
    thresholds: tuple[float, float] = (0.5, 0.5),
    lights: Sequence[Sequence[float]] = (LIGHT,),
    files: str = "output,albedo,mask;png",
) -> None:
    """Write one request to the ensemble as perf_analyzer's --input-data; it is sent over and over.

    Shapes are without the batch dimension, which `-b` adds.

    Args:
        file: the JSON to write.
        photo: an image file; its bytes go as they are.
        prompt: whom to cut out.
        thresholds: score and mask, each 0–1.
        lights: K lights of 16 numbers.
        files: what the server encodes and how.
    """
    numbers = [float(number) for light in lights for number in light]  # perf_analyzer takes no integer for a float
    request = {
        "IMAGE": bytes_element(photo.read_bytes()),
        "PROMPT": bytes_element(prompt.encode()),
        "THRESHOLDS": [float(threshold) for threshold in thresholds],
        "LIGHT": {"content": numbers, "shape": [len(lights), 16]},
        "FILES": bytes_element(files.encode()),
    }
    file.write_text(json.dumps({"data": [request]}))


def bytes_element(content: bytes) -> dict[str, str]:
    """One element of a STRING tensor: unlike plain text, b64 must hold Triton's own form, a 4-byte length before."""
    return {"b64": base64.b64encode(struct.pack("<I", len(content)) + content).decode()}


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what follows `--` becomes `extra`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.perf_analyzer",
        description="NVIDIA's perf_analyzer against the ensemble, with a real photo.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="unpack it into build/perf_analyzer/")
    run = commands.add_parser(
        "run",
        help="measure throughput and latency of the ensemble",
        epilog="what follows ` -- ` goes to perf_analyzer as it is",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    run.add_argument("--url", default="localhost:8001", help="the server's gRPC address")
    run.add_argument("--photo", type=Path, required=True, help="the photo to send", default=argparse.SUPPRESS)
    run.add_argument("--concurrency", default="1", metavar="START[:END[:STEP]]", help="requests in flight")
    own, extra = list(arguments), []
    if "--" in own:
        cut = own.index("--")
        own, extra = own[:cut], own[cut + 1 :]
    return argparse.Namespace(**vars(parser.parse_args(own)), extra=extra)


def main(arguments: Sequence[str]) -> int:
    """Install or run; return perf_analyzer's exit code, or 1 with a sentence on stderr when it cannot be run."""
    options = parse_arguments(arguments)
    try:
        if options.command == "install":
            print(f"perf_analyzer {VERSION}: {install_perf_analyzer()}")
            return 0
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "input.json"
            write_input(file, options.photo)
            server = ["-i", "grpc", "-u", options.url, "--concurrency-range", options.concurrency]
            return run_perf_analyzer([*server, "--input-data", str(file), *options.extra]).returncode
    except PerfAnalyzerError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
