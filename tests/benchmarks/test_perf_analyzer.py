"""NVIDIA's own load generator, unmodified, against the ensemble with real photos; it installs itself."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from benchmarks.rig import perf_analyzer
from benchmarks.rig.lights import WHITE
from benchmarks.rig.perf_analyzer import analyzer_command, environment, find_perf_analyzer
from benchmarks.rig.processes import RunFailedError, observe
from benchmarks.rig.report import BenchmarkError
from benchmarks.rig.triton import FILES, ask_for, write_input_data
from server.embedded import RunningServer
from tests.rig.places import SAMPLES

REQUESTS = 6


def measure(
    server: RunningServer, folder: Path, photo: str, *options: str, lights: int = 1, files: str = FILES
) -> Sequence[str]:
    """The lines that it prints about a photo that is sent over and over."""
    request = ask_for((SAMPLES / photo).read_bytes(), [WHITE] * lights, files=files)
    binary, file = find_perf_analyzer(), write_input_data(folder / "input.json", [request])
    command = analyzer_command(binary, server.grpc_url, file, 2, "--request-count", str(REQUESTS), *options)
    return observe(command, lambda process: None, 1.0, timeout=60, env=environment(binary)).splitlines()


def read_failures(server: RunningServer) -> int:
    """How many requests to the ensemble have failed so far, as Triton counts them."""
    with triton.InferenceServerClient(server.grpc_url) as client:
        return int(client.get_inference_statistics("relight").model_stats[0].inference_stats.fail.count)


def test_it_measures_the_ensemble_with_a_real_photo_and_no_request_fails(server: RunningServer, tmp_path: Path) -> None:
    failures = read_failures(server)
    said = measure(server, tmp_path, "grace_hopper.jpg", "-f", str(tmp_path / "report.csv"))
    assert any(f"Request count: {REQUESTS}" in line for line in said)
    assert read_failures(server) == failures
    with (tmp_path / "report.csv").open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert line["Concurrency"] == "2"
    assert float(line["Inferences/Second"]) > 0


def test_several_lights_go_in_one_request(server: RunningServer, tmp_path: Path) -> None:
    said = measure(server, tmp_path, "astronaut.png", lights=3, files="output;jpeg")
    assert any(f"Request count: {REQUESTS}" in line for line in said)


def test_a_broken_photo_fails_with_the_servers_reason(server: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="truncated"):
        measure(server, tmp_path, "damaged.jpg")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which it has never been used."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(perf_analyzer, "BUILD", tmp_path / "build")
    return tmp_path / "build"


def test_where_there_is_none_it_installs_itself_once_and_says_so(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary = find_perf_analyzer()
    assert binary.is_relative_to(elsewhere)
    assert [path.name for path in elsewhere.iterdir()] == [perf_analyzer.VERSION]
    assert capsys.readouterr().err.count("\n") == 1
    before = binary.stat()
    assert find_perf_analyzer() == binary
    assert binary.stat().st_mtime_ns == before.st_mtime_ns
    assert not capsys.readouterr().err


@pytest.mark.parametrize("obstacle", ["no index", "another wheel"])
def test_an_installation_that_cannot_be_had_says_so_and_leaves_nothing(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    if obstacle == "no index":
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
    else:
        monkeypatch.setattr(perf_analyzer, "REQUIREMENT", perf_analyzer.REQUIREMENT.replace("c485bb", "c485bc"))
    with pytest.raises(BenchmarkError, match=r"perf_analyzer .* cannot be installed"):
        find_perf_analyzer()
    assert list(elsewhere.iterdir()) == []
