"""NVIDIA's own load generator, unmodified, against the ensemble with real photos."""

import csv
import subprocess
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from benchmarks import perf_analyzer
from benchmarks.perf_analyzer import PerfAnalyzerError, install_perf_analyzer, main, run_perf_analyzer, write_input
from server.embedded import RunningServer
from tests.rig.places import SAMPLES

REQUESTS = 6


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    try:
        perf_analyzer.find_perf_analyzer()
    except PerfAnalyzerError:
        install_perf_analyzer()


def measure(server: RunningServer, file: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    arguments = ["-i", "grpc", "-u", server.grpc_url, "--input-data", str(file), *options]
    return run_perf_analyzer([*arguments, "--request-count", str(REQUESTS)], capture=True, timeout=60)


def read_failures(server: RunningServer) -> int:
    """How many requests to the ensemble have failed so far, as Triton counts them."""
    with triton.InferenceServerClient(server.grpc_url) as client:
        return int(client.get_inference_statistics("relight").model_stats[0].inference_stats.fail.count)


def test_it_measures_the_ensemble_with_a_real_photo_and_no_request_fails(server: RunningServer, tmp_path: Path) -> None:
    write_input(tmp_path / "input.json", SAMPLES / "grace_hopper.jpg")
    failures = read_failures(server)

    done = measure(server, tmp_path / "input.json", "--concurrency-range", "2", "-f", str(tmp_path / "report.csv"))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Request count: {REQUESTS}" in done.stdout
    assert read_failures(server) == failures
    with (tmp_path / "report.csv").open(newline="") as stream:
        (line,) = csv.DictReader(stream)
    assert line["Concurrency"] == "2"
    assert float(line["Inferences/Second"]) > 0


def test_several_lights_go_in_one_request(server: RunningServer, tmp_path: Path) -> None:
    lights = [perf_analyzer.LIGHT] * 3
    write_input(tmp_path / "input.json", SAMPLES / "astronaut.png", lights=lights, files="output;jpeg")

    done = measure(server, tmp_path / "input.json")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_broken_photo_fails_with_the_servers_reason(server: RunningServer, tmp_path: Path) -> None:
    write_input(tmp_path / "input.json", SAMPLES / "damaged.jpg")

    done = measure(server, tmp_path / "input.json")

    assert done.returncode != 0
    assert "truncated" in done.stderr


def test_the_command_passes_what_follows_two_dashes(server: RunningServer, capfd: pytest.CaptureFixture[str]) -> None:
    photo = str(SAMPLES / "grace_hopper.jpg")
    assert main(["run", "--url", server.grpc_url, "--photo", photo, "--", "--request-count", "2"]) == 0
    assert "Request count: 2" in capfd.readouterr().out


def test_the_command_names_a_photo_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--photo", "nobody.jpg"]) == 1
    assert "nobody.jpg" in capsys.readouterr().err


def test_installing_twice_changes_nothing() -> None:
    binary = install_perf_analyzer()
    before = binary.stat()
    assert install_perf_analyzer() == binary
    assert binary.stat().st_mtime_ns == before.st_mtime_ns


def test_where_there_is_none_a_sentence_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(perf_analyzer, "UNPACKED", tmp_path / "perf_analyzer")
    with pytest.raises(PerfAnalyzerError, match=r"perf_analyzer install"):
        perf_analyzer.find_perf_analyzer()


def test_an_installation_that_cannot_be_fetched_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_analyzer, "BUILD", tmp_path)
    monkeypatch.setattr(perf_analyzer, "UNPACKED", tmp_path / "none" / "perf_analyzer")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(PerfAnalyzerError, match=r"tritonclient==.* cannot be downloaded"):
        install_perf_analyzer()
    assert list(tmp_path.iterdir()) == []
