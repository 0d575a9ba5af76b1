"""The service on one GPU, rehearsed on the CPU: tiny networks behind the real server, photos through the client."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.gpu.plan import SERVED
from benchmarks.gpu.results import Results, Service, read_results
from benchmarks.gpu.service import STAGES
from tests.rig.places import ROOT

PHOTOS = 3


@dataclass(frozen=True)
class Rehearsal:
    """What a dry run of the service left."""

    results: Results
    page: str
    said: str

    @property
    def service(self) -> Service:
        return self.results.service or pytest.fail("the service was not measured")


def run(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """The command as it is written on the page, its files in a folder."""
    files = ["--json", str(folder / "results.json"), "--page", str(folder / "page.md")]
    command = [sys.executable, "-m", "benchmarks", "gpu", "--dry-run", "--service", *files, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Rehearsal:
    """A dry run of the service with a few photos."""
    folder = tmp_path_factory.mktemp("service")
    done = run(folder, "--photos", str(PHOTOS), "--batches", "1")
    assert done.returncode == 0, done.stderr
    return Rehearsal(read_results(folder / "results.json"), (folder / "page.md").read_text(), done.stdout)


def test_all_photos_go_through_the_real_server(rehearsal: Rehearsal) -> None:
    assert rehearsal.service.photos == PHOTOS
    assert rehearsal.service.images_per_second > 0
    assert rehearsal.service.mean_batch.keys() == set(STAGES.values())
    assert all(1 <= photos <= PHOTOS for photos in rehearsal.service.mean_batch.values())


def test_the_service_stands_beside_its_networks_alone_in_the_same_format(rehearsal: Rehearsal) -> None:
    alone = {name: rehearsal.results.ms(name, SERVED, 1) for name in STAGES.values()}
    assert rehearsal.service.alone_ms == alone
    assert all(rehearsal.results.at(name, SERVED)[1].faithful for name in STAGES.values())


def test_where_there_is_no_gpu_nothing_is_said_of_one(rehearsal: Rehearsal) -> None:
    assert rehearsal.service.memory_mb is None
    assert rehearsal.service.utilisation is None
    assert "GPU utilisation" not in rehearsal.page


def test_the_page_and_the_terminal_have_the_outcome(rehearsal: Rehearsal) -> None:
    assert f"{PHOTOS} photos of 1024² in {rehearsal.service.seconds:.1f} s: " in rehearsal.page
    assert f"{rehearsal.service.images_per_second:.2f} images/s" in rehearsal.page
    assert "service ÷ its networks one after another" in rehearsal.said


def test_without_time_for_a_network_alone_the_service_does_not_begin(tmp_path: Path) -> None:
    done = run(tmp_path, "--minutes", "0.01")
    assert done.returncode == 1
    assert done.stderr == "sam3 alone: not measured: no time was left.\n"
    assert read_results(tmp_path / "results.json").service is None
