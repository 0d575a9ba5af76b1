"""Finds the tritonserver of the nvidia-pytriton wheel and a temporary folder for it; lays out its backends there."""

import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

OUR_BACKENDS = Path(__file__).resolve().parent / "backends"
NEWER_PYTHON = (3, 13)  # than Triton's wheel works with
COMMON = OUR_BACKENDS / "common"  # modules of all of them
SHARED_MEMORY = Path("/dev/shm")
LINK = "models"  # in the temporary folder, to a repository whose path Triton cannot use
# Triton starts its Python processes through a shell and without quotes.
_PLAIN = re.compile(r"[0-9A-Za-z_./+@%=,:-]+")

# A photo's tensors are megabytes that are allocated and freed. The C library would return their pages each time, and
# the kernel would clear them again; keeping them halves the CPU time of `decode`. Larger blocks are returned at once.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}
# Environment of tritonserver and its Python processes, unless it is set already. ONNX Runtime's telemetry would run a
# thread in each process.
DEFAULTS = {**KEPT_MEMORY, "ORT_DISABLE_TELEMETRY": "1"}


class ServerError(Exception):
    """The server cannot be started or has failed; the message says why and what to do."""


@dataclass(frozen=True)
class Installation:
    """Where the parts of the wheel are."""

    binary: Path  # tritonserver
    libraries: Path  # the shared libraries it is linked with
    python_backend: Path  # libtriton_python.so and triton_python_backend_utils.py
    stub: Path  # the Python backend's process, built for the running Python version


def find_installation() -> Installation:
    """Locate the server for the running Python version.

    Raises ServerError: the wheel is missing or holds no stub for this Python.
    """
    if sys.version_info >= NEWER_PYTHON:
        raise ServerError(
            f"Triton's wheel needs NumPy < 2, which ends at Python 3.12; this is {sys.version_info.major}."
            f"{sys.version_info.minor}. Make the environment with Python 3.10, 3.11 or 3.12, or use the containers: "
            "`docker compose --profile cpu up`."
        )
    spec = importlib.util.find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise ServerError("No Triton is installed: run `pip install 'relight-triton[server]'` (wheel nvidia-pytriton).")
    package = Path(spec.origin).parent
    triton = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        known = ", ".join(sorted(path.name for path in stub.parent.parent.iterdir()))
        raise ServerError(f"The Triton wheel has no stub for Python {version}; use one of {known}.")
    return Installation(
        binary=triton / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=triton / "backends" / "python",
        stub=stub,
    )


def temporary_folders() -> list[Path]:
    """Folders for temporary files, in order of preference; some may be missing."""
    named = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", SHARED_MEMORY)
    return list(dict.fromkeys(Path(folder).absolute() for folder in named if folder))


def scratch_parent() -> Path:
    """The first of the temporary folders that Triton's programs can be put into and started from.

    Raises ServerError: there is none; with what is wrong with each.
    """
    faults = {folder: unfit_for_programs(folder) for folder in temporary_folders()}
    for folder, fault in faults.items():
        if not fault:
            return folder
    told = ", ".join(f"{folder} {fault}" for folder, fault in faults.items())
    raise ServerError(
        f"Triton's programs have no temporary folder to run from: {told}. Set TMPDIR to a folder that you can write, "
        "not mounted noexec, with a path of plain ASCII letters and digits."
    )


def unfit_for_programs(folder: Path) -> str:
    """Why Triton's programs cannot be started from a folder; empty where they can."""
    if not folder.is_dir():
        return "is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return "cannot be written"
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return "is mounted noexec"
    return "" if _PLAIN.fullmatch(str(folder)) else "has a path that a shell reads otherwise"


def plain_path(repository: Path, scratch: Path) -> Path:
    """A repository's absolute path, or a link to it in `scratch` where Triton could not use the path itself."""
    path = repository.resolve()
    if _PLAIN.fullmatch(str(path)):
        return path
    (scratch / LINK).symlink_to(path)
    return scratch / LINK


def assemble_backends(installation: Installation, folder: Path) -> None:
    """Copy the backends into `folder`, as tritonserver's --backend-directory expects them.

    `python` is NVIDIA's. Ours are Python-based backends: where there is no libtriton_<name>.so, Triton serves
    `backend: "<name>"` with <folder>/<name>/model.py, beside which it finds what they have in common.

    Raises ServerError: the folder cannot hold them.
    """
    python = folder / "python"
    try:
        python.mkdir(parents=True)
        for part in (*installation.python_backend.glob("*.*"), installation.stub):
            shutil.copy2(part, python)  # Triton refuses libraries that a link takes out of the backend directory
        for backend in OUR_BACKENDS.iterdir():
            if (backend / "model.py").exists():
                shutil.copytree(backend, folder / backend.name)
                shutil.copytree(COMMON, folder / backend.name, dirs_exist_ok=True)
    except OSError as error:
        reason = f"{folder} cannot hold Triton's backends ({error.strerror or error})"
        raise ServerError(f"{reason}: make room there, or set TMPDIR to another folder.") from error


def environment(installation: Installation) -> dict[str, str]:
    """Return the environment tritonserver needs: its libraries, and this Python's library and packages for the stubs.

    Raises ServerError: this Python has no shared library for the stub to load.
    """
    library = sysconfig.get_config_var("INSTSONAME") or ""
    search = [Path(sysconfig.get_config_var("LIBDIR") or "/"), Path(sys.base_prefix) / "lib", *system_libraries()]
    homes = [folder for folder in search if ".so" in library and (folder / library).exists()]
    if not homes:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise ServerError(
            f"Triton's Python processes need libpython{version}.so.1.0, which this Python does not bring: "
            f"`apt install libpython{version}` or use a Python built with --enable-shared."
        )
    inherited = os.environ.get("LD_LIBRARY_PATH")
    paths = [str(installation.libraries), str(homes[0]), *([inherited] if inherited else [])]
    return {
        **DEFAULTS,
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(paths),
        # The stub's interpreter finds its environment through the `python3` that comes first here.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",  # prompts, paths and logs, whatever the locale
    }


def system_libraries() -> list[Path]:
    """Folders in which distributions keep libpython."""
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    return [Path("/usr/lib") / multiarch, Path("/usr/lib64"), Path("/usr/lib"), Path("/usr/local/lib")]
