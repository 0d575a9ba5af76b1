"""The comparison with others: they make the same pictures, and what is said of them is what was measured."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import pytest

from benchmarks.peers import contestants, eager, ensemble, with_onnx
from benchmarks.peers.command import figures, table, verdicts
from benchmarks.peers.contestants import OURS, PEERS, Job, obstacle
from benchmarks.peers.rounds import Comparison, Reference, Result, compare, difference, read_pictures, spread
from benchmarks.peers.session import Measurement
from benchmarks.rig.lights import WHITE, Row
from benchmarks.rig.networks import Networks
from benchmarks.rig.photos import write_photos
from benchmarks.rig.processes import tree_of
from export.networks.pattern_bank import PatternBank
from server.embedded import RunningServer
from tests.rig.places import ROOT


@pytest.fixture(scope="module")
def ours(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Reference]:
    """A job that ours has done, and its pictures."""
    folder = tmp_path_factory.mktemp("peers")
    photos = folder / "photos"
    photos.mkdir()
    job = Job(photos, folder / "ours", tuple(write_photos(photos, 2)))
    ensemble.run_ours(job, server.grpc_url)
    # Ours names files by the row's place in its table.
    numbered = tuple(replace(row, name=f"{index:05d}") for index, row in enumerate(job.rows))
    return replace(job, rows=numbered), read_pictures(replace(job, rows=numbered))


def done_by(run: Callable[[Job, str], None], job: Job, address: str = "") -> Job:
    """The job as a contestant does it, in a folder of its own."""
    output = job.output.with_name(f"done-{time.monotonic_ns()}")
    output.mkdir()
    mine = replace(job, output=output)
    run(mine, address)
    return mine


@pytest.mark.parametrize("run", [ensemble.run_synchronously, ensemble.run_in_threads])
def test_other_clients_of_the_ensemble_get_the_same_pictures(
    run: Callable[[Job, str], None], ours: tuple[Job, Reference], server: RunningServer
) -> None:
    job, reference = ours
    assert difference(done_by(run, job, server.grpc_url), reference) == ""


def test_the_loops_in_pytorch_make_the_same_pictures(ours: tuple[Job, Reference]) -> None:
    job, reference = ours
    networks = eager.build_networks(PatternBank())
    first = replace(job, rows=job.rows[:1])
    assert difference(done_by(partial(eager.run_in_batches, networks, 1), first), reference) == ""
    assert difference(done_by(partial(eager.run_with_loader, networks), job), reference) == ""


def test_the_networks_in_one_process_make_the_same_pictures(ours: tuple[Job, Reference], repository: Path) -> None:
    job, reference = ours
    assert difference(done_by(partial(with_onnx.run, Networks(threads=1)), job), reference) == ""


@pytest.fixture(scope="module")
def comparison(repository: Path) -> Comparison:
    """Ours, PyTriton and LitServe, really measured."""
    before = {process.pid for process in tree_of(os.getpid())}
    peers = [peer for peer in PEERS if peer.name in (OURS, "pytriton", "litserve", "onnx")]
    found = compare(peers, photos=2, rounds=1, say=lambda step: None)
    left = [process for process in tree_of(os.getpid()) if process.pid not in before]
    assert not [process for process in left if process.is_running()], "nothing stays behind"
    return found


def test_servers_of_others_make_the_same_pictures_and_every_cost_is_measured(comparison: Comparison) -> None:
    assert not any(result.failure for result in comparison.results), table(comparison)
    assert {result.peer.name for result in comparison.results} == {OURS, "onnx", "pytriton", "litserve"}
    for result in comparison.results:
        assert result.on_the_wire == (result.peer.name != "onnx")
        assert result.wire_bytes == pytest.approx(comparison.file_bytes * result.on_the_wire, rel=0.25)
        assert result.images_per_second > 0
        assert result.cpu_per_image > 0.05
        assert result.memory > 200e6


def test_the_table_has_each_with_its_ratio_to_ours(comparison: Comparison) -> None:
    _, _, *lines = table(comparison).splitlines()
    cells = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:]] for line in lines}
    assert cells.keys() == {OURS, "onnx", "pytriton", "litserve"}
    assert cells[OURS][2] == cells[OURS][4] == "1.00"
    rates = {result.peer.name: result.images_per_second for result in comparison.results}
    assert cells["litserve"][2] == f"{rates['litserve'] / rates[OURS]:.2f}"


def result(name: str, seconds: float, cpu: float, wire: float = 0.0, failure: str = "") -> Result:
    """A contestant that relit ten photos."""
    (peer,) = (peer for peer in PEERS if peer.name == name)
    return Result(peer, [Measurement(10, seconds, cpu, 10**9)], wire > 0, wire, failure)


def test_the_verdict_says_by_how_much_another_wins_and_why() -> None:
    both = [result(OURS, seconds=10, cpu=12, wire=2e6), result("ray", seconds=8, cpu=10)]
    (sentence,) = verdicts(Comparison(both, 2e6))
    assert "ray (in process) makes 1.25 times" in sentence
    assert "200 CPU-ms an image less and sends nothing" in sentence
    assert not verdicts(Comparison([both[0], result("ray", seconds=11, cpu=10)], 2e6))


def test_ratios_are_to_the_best_of_the_others() -> None:
    others = [result("calls", 20, 11, wire=2e6), result("threads", 12.5, 15, wire=2e6), result("ray", 8, 24)]
    found = {figure.name: figure.value for figure in figures(Comparison([result(OURS, 10, 12, 2.2e6), *others], 2e6))}
    assert found["images/s, ours ÷ the fastest over the wire (threads)"] == pytest.approx(1.25)
    assert found["CPU-ms, ours ÷ the least over the wire (calls)"] == pytest.approx(12 / 11)
    assert found["images/s, ours ÷ the fastest in process (ray)"] == pytest.approx(0.8)
    assert found["bytes on the wire, ours ÷ the files in and out"] == pytest.approx(1.1)


def test_one_that_fails_is_named_with_its_reason_and_not_compared() -> None:
    text = table(Comparison([result(OURS, 10, 12, 2e6), result("ray", 1, 1, failure="it broke")], 2e6))
    assert "ray is not compared: it broke." in text
    assert text.count("\n| ") == 2  # the rule below the headings, and ours


def test_those_timed_on_a_few_photos_get_them_from_all_over_the_table_and_of_both_portraits() -> None:
    rows = [Row(f"{index:05d}", f"{index:05d}.jpg", {}) for index in range(64)]
    places = [rows.index(row) for row in spread(rows, 8)]
    assert (places[0], places[-1], len(set(places))) == (0, 63, 8)
    assert {place % 2 for place in places} == {0, 1}
    assert spread(rows, None) == spread(rows, 64) == spread(rows, 100) == rows


def test_another_picture_is_no_comparison(ours: tuple[Job, Reference]) -> None:
    job, reference = ours
    output = job.output.with_name("altered")
    shutil.copytree(job.output, output)
    altered, row = replace(job, output=output), job.rows[0]
    assert difference(altered, reference) == ""
    picture = cv2.imread(str(altered.picture(row, "albedo")))
    picture[:16, :16] = 255 - picture[:16, :16]
    cv2.imwrite(str(altered.picture(row, "albedo")), picture)
    assert "albedo of" in difference(altered, reference)
    altered.picture(row, "mask").unlink()
    assert "no mask of" in difference(altered, reference, files_only=True)


def test_without_ray_the_table_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(contestants, "RAY_READY", tmp_path / "ready")
    assert "python -m benchmarks peers install-ray" in obstacle("with_ray")


def test_photos_differ_and_come_back_as_they_were(tmp_path: Path) -> None:
    rows = write_photos(tmp_path, 6)
    assert len({(tmp_path / row.photo).read_bytes() for row in rows}) == 6
    job = Job(tmp_path, tmp_path / "out", (Row("00000", "00000.jpg", WHITE),))
    assert pickle.loads(pickle.dumps(job)) == job


def test_ctrl_c_leaves_nothing(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "peers", "--peers", "calls", "--photos", "2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "round 1" in process.stderr.readline()
        family = tree_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert len(family) > 2
    assert not [process for process in family if process.is_running()]
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(("peers-", "relight-triton-"))]
