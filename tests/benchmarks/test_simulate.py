"""Promises of the simulation: a real path with real batches, GPUs that networks share and take their time on."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageChops, ImageStat
from pyarrow import parquet

from benchmarks.__main__ import main
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.report import BenchmarkError
from benchmarks.simulate import side_by_side
from benchmarks.simulate.cluster import MILLION, nodes_of
from benchmarks.simulate.command import figures
from benchmarks.simulate.drive import serving
from benchmarks.simulate.events import Outcome, follow, read_setup
from benchmarks.simulate.job import Job
from benchmarks.simulate.run import Execution, Measured, Scenario, busy_shares, mean_batch, simulate, useful_gpus
from benchmarks.simulate.timings import MEASURED, TIMINGS, Timing, Timings, read_timings
from benchmarks.simulate.with_ray_data import CallServer
from contract.names import NETWORKS
from server.derive import FIRST_NETWORKS
from tests.rig.runs import lines

SERVED, COMPILED = read_timings(), read_timings(TIMINGS / "h100_compiled.toml")
SCENARIO = Scenario(gpus=2, batch=4, timings=COMPILED, slowdown=5, side=256, measure=1)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """One run of SCENARIO."""
    return simulate(SCENARIO, tmp_path_factory.mktemp("simulation"))


def test_every_photo_comes_back_as_files_and_a_row(measured: Measured) -> None:
    rows = lines(measured.table)
    assert len(rows) == SCENARIO.photos
    assert not any(row["error"] for row in rows)
    pictures = sorted(measured.table.with_suffix("").glob("*_output.png"))
    assert len(pictures) == SCENARIO.photos


def test_what_is_encoded_is_the_photo_itself(measured: Measured) -> None:
    row = lines(measured.table)[0]
    sent, kept = measured.table.parents[1] / row["image_path"], measured.table.parent / row["output_image_path"]
    with Image.open(sent) as photo, Image.open(kept) as picture:
        assert picture.size == (256, 256)
        difference = ImageChops.difference(picture.convert("RGB"), photo.convert("RGB"))
    assert max(ImageStat.Stat(difference).mean) < 1.0  # two decoders may round differently


def test_every_photo_passes_every_network_once(measured: Measured) -> None:
    for network in NETWORKS:
        assert sum(one.rows for one in measured.executions if one.network == network) == SCENARIO.photos


def test_batches_of_the_long_networks_fill(measured: Measured) -> None:
    for network in FIRST_NETWORKS:
        filled = mean_batch(measured.executions, network, measured.steady.begin, measured.steady.end)
        assert filled >= 0.9 * SCENARIO.batch, network


def test_on_a_gpu_the_long_networks_take_turns(measured: Measured) -> None:
    gpus = {one.gpu for one in measured.executions}
    assert len(gpus) == SCENARIO.gpus
    for gpu in gpus:
        there = sorted((one for one in measured.executions if one.gpu == gpu), key=lambda one: one.started)
        assert {one.network for one in there} == set(NETWORKS)
        long = [one for one in there if one.network in FIRST_NETWORKS]
        assert all(before.ended <= after.started for before, after in pairwise(long))


def test_a_gpu_does_no_more_than_one_networks_work_at_a_time(measured: Measured) -> None:
    for gpu in {one.gpu for one in measured.executions}:
        there = [one for one in measured.executions if one.gpu == gpu]
        begin, end = min(one.started for one in there), max(one.ended for one in there)
        busy = busy_shares(there, begin, end)[gpu] * (end - begin)
        assert sum(one.work for one in there) <= 1.001 * busy


def test_an_execution_takes_its_time(measured: Measured) -> None:
    for one in measured.executions:
        wanted = SCENARIO.timings.networks[one.network].seconds(one.rows) * SCENARIO.slowdown
        assert one.work == pytest.approx(wanted)
        assert one.ended - one.started >= 0.999 * wanted  # the clock it is read from may be set meanwhile


def test_the_figures_are_shares_and_costs(measured: Measured) -> None:
    found = {figure.name: figure.value for figure in figures(SCENARIO, measured)}
    assert 0.0 < found["achieved ÷ ideal, by the GPUs' work"] <= found["busy, mean of the GPUs"] + 1e-6 <= 1.0 + 1e-3
    for role in ("client", "tritonserver", "decode", "encode"):
        assert found[f"CPU of {role}, a photo"] > 0.0


def test_the_ideal_is_gpus_that_are_always_busy_with_full_batches() -> None:
    networks = {"segment": Timing(fixed=0.2, per_image=0.1), "albedo": Timing(fixed=0.0, per_image=0.05)}
    timings = Timings(networks, {})
    assert timings.ideal_rate(gpus=8, batch=4) == pytest.approx(8 * 4 / (0.2 + 0.4 + 0.2))
    scenario = replace(SCENARIO, gpus=8, batch=4, timings=timings, slowdown=10)
    assert scenario.ideal == pytest.approx(4.0)


def test_half_full_batches_and_waiting_gpus_are_not_useful() -> None:
    full = Execution("gpu_1", "segment", rows=4, work=4.0, started=0.0, ended=4.0)
    half = Execution("gpu_2", "segment", rows=2, work=3.0, started=1.0, ended=4.0)
    cost = {"segment": 1.0}
    assert useful_gpus([full, half], cost, begin=0.0, end=4.0) == pytest.approx(1.5)
    assert useful_gpus([full, half], cost, begin=2.0, end=4.0) == pytest.approx(1.0 + 2.0 / 3.0)
    assert busy_shares([full, half], begin=0.0, end=4.0) == pytest.approx({"gpu_1": 1.0, "gpu_2": 0.75})
    beside = Execution("gpu_2", "shadow", rows=2, work=0.5, started=0.5, ended=2.0)
    assert busy_shares([half, beside], begin=0.0, end=4.0) == pytest.approx({"gpu_2": 0.875})


def outcome(timings: Timings, window: int | None = None, turns: bool = True) -> Outcome:
    """Photos followed on one GPU."""
    setup = read_setup(batch=16, window=window, turns=turns)
    return follow(timings, setup, photos=20 * setup.window)


def test_events_give_what_was_measured_on_an_h100() -> None:
    found = outcome(SERVED, window=48, turns=False)
    assert found.whole == pytest.approx(18.7, rel=0.02)
    assert found.busy == pytest.approx(0.96, abs=0.03)
    assert found.batches["segment"] == pytest.approx(12.5, abs=0.5)
    assert found.batches["shadow"] == pytest.approx(12.5, abs=0.5)
    assert 4.0 < found.batches["albedo"] < 7.0  # 4.4 was measured


def test_turns_fill_the_batches_of_the_long_networks_and_the_window_those_of_faster_ones() -> None:
    assert outcome(COMPILED, window=48).batches["segment"] < 10.0
    for timings in (SERVED, COMPILED):
        found = outcome(timings)
        assert [found.batches[name] for name in ("segment", "albedo", "shadow")] == [16.0, 16.0, 16.0]
        assert found.rate > 1.1 * outcome(timings, turns=False).rate


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[segment", "not valid TOML"),
        ("[segment]\nper_image = 15", "segment.fixed must be milliseconds"),
        ("[segment]\nper_image = 15\nfixed = -1", "segment.fixed must be milliseconds"),
        ("segment = 15", "segment.fixed must be milliseconds"),
        (MEASURED.read_text("utf-8").replace("sharing = 0.81", "sharing = 1.1"), "gpu.sharing must be a share"),
    ],
)
def test_a_file_of_timings_that_cannot_be_used_says_why(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "timings.toml"
    file.write_text(text)
    with pytest.raises(BenchmarkError, match=problem) as caught:
        read_timings(file)
    assert str(file) in str(caught.value)


def test_the_command_names_a_file_of_timings_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--timings", "nowhere.toml"]) == 1
    assert "nowhere.toml" in capsys.readouterr().err


def test_the_command_refuses_no_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["simulate", "--gpus", "0"])
    assert "a number above 0" in capsys.readouterr().err


def test_more_nodes_are_as_fast_as_the_driver() -> None:
    node = nodes_of(1, gpus=8, batch=16, gpu_rate=40.0)
    assert (node.rate, node.seconds) == (320.0, 2.4)  # 768 calls in flight
    assert node.efficiency(MILLION, driver=1e-4) == pytest.approx(1.0)
    assert replace(node, count=2).efficiency(6400, driver=1e-4) == pytest.approx(10.0 / (10.0 + 200 / 320 / 4))
    assert replace(node, count=64).efficiency(MILLION, driver=1e-4) == pytest.approx(10_000 / 20_480, rel=0.01)


def test_a_peers_actor_writes_every_file_and_only_whole_results_have_a_rate(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(bytes(10))
    with serving(gpus=1, batch=16, seconds=0.3) as url:
        job = Job("", nodes=1, url=url, window=8, rows=8, folder=str(tmp_path))
        job.output.mkdir()
        found = CallServer(job)({"seed": np.arange(8), "image_path": np.array(["photo.jpg"] * 8)})
    files = {file.name for file in job.output.iterdir()}
    assert files == {f"{row:07d}_{name}.png" for row in range(8) for name in PICTURES}
    assert np.all(found["done"] - found["sent"] >= 0.3)
    assert np.ptp(found["sent"]) < 0.3  # all were in flight together
    job.results.mkdir()
    parquet.write_table(
        pa.table({**found, "sent": np.full(8, 1.0), "done": np.arange(1.5, 5.5, 0.5)}), job.results / "0.parquet"
    )
    assert job.rate() == pytest.approx(2.0)
    with pytest.raises(BenchmarkError, match="of 9 rows 8 have files"):
        replace(job, rows=9).rate()


def test_the_command_names_a_peer_that_is_missing_and_wants_one_number_of_nodes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["simulate", "--peers", "ray-data"]) == 1
    assert "--nodes and one number" in capsys.readouterr().err
    monkeypatch.setitem(side_by_side.PACKAGES, "nemo-curator", ("ray", "nemo_nowhere"))
    assert main(["simulate", "--nodes", "1", "--peers", "nemo-curator"]) == 1
    assert "nemo-curator needs nemo_nowhere" in capsys.readouterr().err
