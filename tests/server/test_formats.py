"""The published architectures, small and with random weights, served in every format that runs anywhere."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from client.run_csv import main
from contract.names import STAGES
from export.check.verify import verify
from export.files.formats import Format
from server.embedded import RunningServer
from tests.rig.photos import write_csv, write_mixed
from tests.rig.places import ROOT
from tests.rig.served import serving

FORMATS: tuple[Format, ...] = ("onnx", "torchscript")  # AOTInductor compiles for minutes: its tests are apart
PHOTOS = 12


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module", params=FORMATS)
def tiny_repository(request: pytest.FixtureRequest, tiny_repositories: dict[str, Path]) -> Path:
    """A model repository with preset `tiny`, once in each format."""
    return tiny_repositories[request.param]


@pytest.fixture(scope="module")
def tiny_server(tiny_repository: Path) -> Iterator[RunningServer]:
    """The embedded Triton serving preset `tiny`, once in each format."""
    with serving(tiny_repository, tiny_repository.parent, max_batch=3) as running:
        yield running


def test_photos_go_through(tiny_server: RunningServer, tmp_path: Path) -> None:
    table = write_csv(tmp_path / "mixed.csv", write_mixed(tmp_path, PHOTOS))
    arguments = ["--csv", str(table), "--output", str(tmp_path / "out"), "--url", tiny_server.grpc_url, "--quiet"]
    assert main([*arguments, "--score-threshold", "0.1"]) == 0  # random weights are unsure
    pictures = sorted((tmp_path / "out").rglob("*_output.png"))
    assert len(pictures) == PHOTOS
    for picture in pictures:
        with Image.open(picture) as image:
            assert ImageStat.Stat(image.convert("L")).stddev[0] > 1.0, picture  # not one gray


def test_every_format_gives_the_same_answers(tiny_server: RunningServer, tiny_repository: Path) -> None:
    """The server answers as the files do that the export compared with their networks."""
    assert verify([str(tiny_repository), "--url", tiny_server.grpc_url]) == 0
