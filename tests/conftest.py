"""The real server, started once for all tests on free ports."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from server.embedded import RunningServer
from tests.rig.places import REPOSITORY, ROOT
from tests.rig.plain_models import write_plain_models
from tests.rig.served import serving

# How long an example takes says nothing on cores that others use too.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The model repository with the default preset, exported here unless `make` has done so."""
    if not all((REPOSITORY / name / "1" / "model.onnx").exists() for name in ("segment", "recombine")):
        subprocess.run([sys.executable, "-m", "export"], cwd=ROOT, check=True)
    return REPOSITORY


@pytest.fixture(scope="session")
def plain_repository(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository whose networks cost next to nothing, for tests of what lies around them."""
    return write_plain_models(tmp_path_factory.mktemp("plain") / "models", repository)


@pytest.fixture(scope="session")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The embedded Triton serving the default preset."""
    with serving(repository, tmp_path_factory.mktemp("triton")) as running:
        yield running
