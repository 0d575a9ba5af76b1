"""Stand-ins for the images that the Dockerfiles and docker-compose.yml name, made without an image registry.

They are Debian with its own Python and Prometheus. The wheels are downloaded with this machine's pip and its index, and
are in the image: builds need no network, and the Dockerfiles are used unchanged.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from docker.extras import requirements
from tests.docker.engine import Engine, EngineError, run

RELEASE, PYTHON = "bookworm", (3, 11)  # Debian's and its Python's
PACKAGES = "python3,python3-pip,libpython3.11,prometheus,ca-certificates"
PIP_CONF = "[global]\nno-index = true\nfind-links = /wheels\n"
PYTHON_IMAGE = "python:3.11-slim-bookworm"
TRITON_IMAGE = "nvcr.io/nvidia/tritonserver:26.11-py3"
PROMETHEUS_IMAGE = "prom/prometheus:v3.5.0"
NOBODY = 65534

PROMETHEUS = f"""\
FROM {PYTHON_IMAGE}
RUN mkdir -p /prometheus && chown {NOBODY} /prometheus
USER {NOBODY}
ENTRYPOINT ["/usr/bin/prometheus"]
"""
# What NVIDIA's image has: Triton under /opt/tritonserver, with backends; nothing that our Dockerfile adds.
TRITON = f"""\
FROM {PYTHON_IMAGE}
WORKDIR /build
RUN PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir 'numpy<2' onnxruntime nvidia-pytriton
COPY contract contract
COPY server server
COPY docker docker
RUN python3 -m docker.layout /opt/tritonserver
WORKDIR /
RUN rm -r /build
ENV LD_LIBRARY_PATH=/opt/tritonserver/lib
"""


def download_wheels(project: Path, folder: Path) -> None:
    """Download what the images install. Raises EngineError."""
    if sys.version_info[:2] != PYTHON:
        raise EngineError("The stand-in images have Python 3.11, and wheels are downloaded by it: run this with 3.11.")
    wanted = requirements(project / "pyproject.toml", ["server", "cpu", "export", "networks"], [])
    folder.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", f"--dest={folder}", *wanted])


def make_root(folder: Path, wheels: Path) -> None:
    """Install Debian into `folder`, unless it is there, and copy the wheels into it. Raises EngineError."""
    if not (folder / "etc" / "pip.conf").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, str(folder)])
        shutil.rmtree(folder / "var" / "cache" / "apt")
        (folder / "etc" / "pip.conf").write_text(PIP_CONF)
    shutil.copytree(wheels, folder / "wheels", dirs_exist_ok=True)


def import_root(engine: Engine, folder: Path) -> None:
    """Make an image of a root file system. Raises EngineError."""
    with subprocess.Popen(["tar", "-C", str(folder), "-c", "."], stdout=subprocess.PIPE) as archive:
        engine.docker("import", "-", PYTHON_IMAGE, stdin=archive.stdout)


def make_bases(engine: Engine, project: Path, folder: Path) -> None:
    """Make the stand-ins for Python's, NVIDIA's and Prometheus' images; downloads are kept in `folder`."""
    download_wheels(project, folder / "wheels")
    make_root(folder / "root", folder / "wheels")
    import_root(engine, folder / "root")
    for image, text in ((PROMETHEUS_IMAGE, PROMETHEUS), (TRITON_IMAGE, TRITON)):
        file = folder / "Dockerfile"
        file.write_text(text)
        engine.docker("build", "--network=none", f"--tag={image}", f"--file={file}", str(project))
