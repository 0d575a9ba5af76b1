"""The real server, started once for all tests on free ports."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.derive import this_machine
from server.embedded import Options, RunningServer, embedded_server

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = ROOT / "model_repository"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository with preset `classical`, exported here unless `make` has done so."""
    if not all((REPOSITORY / name / "1" / "model.onnx").exists() for name in ("segment", "recombine")):
        subprocess.run([sys.executable, "-m", "export", "--preset", "classical"], cwd=ROOT, check=True)
    return REPOSITORY


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The embedded Triton serving preset `classical`."""
    log = tmp_path_factory.mktemp("triton") / "triton.log"
    options = Options(repository, this_machine(gpus=0), grpc_port=0, http_port=0, metrics_port=0, log=log)
    with embedded_server(options) as running:
        yield running
