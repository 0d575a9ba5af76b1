"""The real server, started once for all tests on free ports."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from contract.names import STAGES
from export.files.formats import Format
from server.embedded import RunningServer
from tests.rig.places import REPOSITORY, ROOT
from tests.rig.plain_models import write_plain_models
from tests.rig.served import serving

# What runs anywhere; AOTInductor compiles a network for minutes: its tests have one of their own.
FORMATS: tuple[Format, ...] = ("onnx", "torchscript")


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


@pytest.fixture(scope="session")
def tiny_repositories(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model repositories with preset `tiny`, by format; exported side by side.

    `recombine` is copied, and so is the ONNX file of `shadow`: most of it is the light, which is the same in each.
    """
    folder = tmp_path_factory.mktemp("tiny")
    command = [sys.executable, "-m", "export", "--preset", "tiny", "--side", "192", "--autoencoder", "tiny"]
    shares = (("onnx", ("segment",)), ("onnx", ("albedo",)), ("torchscript", STAGES))
    repositories: dict[str, Path] = {name: folder / name / "models" for name in FORMATS}
    for path in repositories.values():
        shutil.copytree(repository / "recombine", path / "recombine")
    shutil.copytree(repository / "shadow", repositories["onnx"] / "shadow")
    # Networks this small spend their time waiting for a second thread.
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    exports = [
        subprocess.Popen(
            [*command, "--format", name, "--repository", str(repositories[name])]
            + [word for stage in stages for word in ("--only", stage)],
            cwd=ROOT,
            env=one_thread,
        )
        for name, stages in shares
    ]
    assert [export.wait() for export in exports] == [0] * len(exports)
    return repositories


@pytest.fixture(scope="session", params=FORMATS)
def tiny_repository(request: pytest.FixtureRequest, tiny_repositories: dict[str, Path]) -> Path:
    """A model repository with preset `tiny`, once in each format."""
    return tiny_repositories[request.param]


@pytest.fixture(scope="session")
def tiny_server(tiny_repository: Path) -> Iterator[RunningServer]:
    """The embedded Triton serving preset `tiny`, once in each format."""
    # Batches of 4: networks so small are done, and wait in vain, before a busy machine has decoded 8 more photos.
    with serving(tiny_repository, tiny_repository.parent, max_batch=4) as running:
        yield running
