"""The sweep over batch sizes, through the real server and perf_analyzer."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import __main__ as benchmarks
from benchmarks.rig.processes import FullWindow
from benchmarks.rig.triton import GpuUse, Stage, parse_metrics, summarise
from benchmarks.sweep.points import Measurement, Plan, Point, forget_failed, left, read_plan, read_points, recommend
from benchmarks.sweep.session import resize
from server.derive import Machine, derive, read_config
from server.embedded import RunningServer
from tests.rig.configs import CONTRACT, MEMBERS, production, walk
from tests.rig.places import REPOSITORY

SAMPLES = REPOSITORY.parent / "samples"
TOO_MUCH = 3  # the batch for which the repository of these tests has no memory
SMALL_MEMORY = f"""

class TritonPythonModel(TritonPythonModel):
    def initialize(self, args):
        if json.loads(args["model_config"])["max_batch_size"] == {TOO_MUCH}:
            raise MemoryError("no memory for such batches")
        super().initialize(args)
"""


def main(arguments: Sequence[str]) -> int:
    """The command."""
    return benchmarks.main(["sweep", *arguments])


@pytest.fixture(scope="module")
def small_memory(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository on a machine where one batch size does not fit: its `decode` fails to load then."""
    copy = tmp_path_factory.mktemp("small") / "models"
    shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("reference.npz", "configs", "__pycache__"))
    with (copy / "decode" / "1" / "model.py").open("a") as stream:
        stream.write(SMALL_MEMORY)
    return copy


@pytest.fixture(scope="module")
def command(small_memory: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A sweep of a network and the ensemble over a size that does not fit the ensemble and one that does."""
    folder = tmp_path_factory.mktemp("sweep")
    photo = folder / "photo.jpg"
    with Image.open(SAMPLES / "grace_hopper.jpg") as image:
        image.reduce(4).save(photo)
    sizes = ["--models", "segment,relight", "--batches", f"{TOO_MUCH},2", "--measurement-requests", "1"]
    return [*sizes, "--photo", str(photo), "--output", str(folder / "out"), "--repository", str(small_memory)]


@pytest.fixture(scope="module")
def out(command: list[str]) -> Path:
    """The output folder of that sweep."""
    folder = Path(command[command.index("--output") + 1])
    assert main([*command, "--json", str(folder.parent / "figures.json")]) == 0
    return folder


def read_rows(folder: Path) -> dict[tuple[str, int], dict[str, str]]:
    """The CSV's rows by model and batch."""
    with (folder / "points.csv").open(newline="") as stream:
        return {(row["model"], int(row["batch"])): row for row in csv.DictReader(stream)}


def test_each_point_has_its_pace_its_latencies_and_its_batches(out: Path) -> None:
    for model in ("segment", "relight"):
        row = read_rows(out)[model, 2]
        assert float(row["images_per_second"]) > 0
        assert float(row["images_per_second"]) * float(row["seconds_per_image"]) == pytest.approx(1, rel=1e-3)
        assert 0 < float(row["p50_ms"]) <= float(row["p95_ms"]) <= float(row["p99_ms"])
        assert 1 < float(row["mean_batch"]) <= 2


def test_the_ensembles_time_is_told_stage_by_stage(out: Path) -> None:
    alone, together = (read_rows(out)[model, 2] for model in ("segment", "relight"))
    for member in MEMBERS:
        assert float(together[f"{member}_compute_ms"]) >= float(together[f"{member}_compute_ms_per_image"]) > 0
        assert float(together[f"{member}_queue_ms"]) >= 0
        assert (alone[f"{member}_compute_ms"] != "") == (member == "segment")


def test_a_size_that_cannot_be_loaded_is_a_finding_and_the_sweep_goes_on(out: Path) -> None:
    rows = read_rows(out)
    assert "no memory for such batches" in rows["relight", TOO_MUCH]["finding"]
    assert rows["relight", TOO_MUCH]["images_per_second"] == ""
    assert rows["relight", 2]["finding"] == ""
    assert f"relight, batch {TOO_MUCH}" in (out / "table.md").read_text()


def test_where_there_is_no_gpu_nothing_is_said_of_one(out: Path) -> None:
    for row in read_rows(out).values():
        assert not any(row[column] for column in row if column.startswith("gpu_"))


def test_tables_plots_and_figures_are_written(out: Path) -> None:
    table = (out / "table.md").read_text()
    for heading in ("batch", "GPU memory, GB", "GPU utilisation", "s/image", "hours for 10,000"):
        assert f"| {heading} |" in table
    assert "Recommended: relight, batch 2" in table
    for name in ("throughput", "latency", "stages"):
        with Image.open(out / f"{name}.png") as image:
            assert min(image.size) > 300
    figures = json.loads((out.parent / "figures.json").read_text())["figures"]
    assert {"relight, fastest, at batch 2", "relight, batch formed ÷ 2"} <= {figure["name"] for figure in figures}


def test_the_same_command_again_measures_nothing_twice(out: Path, command: list[str]) -> None:
    points = (out / "points.jsonl").read_bytes()
    with (out / "points.jsonl").open("ab") as stream:
        stream.write(points[:40])  # what a kill leaves of a line
    assert main(command) == 0
    assert (out / "points.jsonl").read_bytes() == points


def test_only_failed_points_are_measured_again(out: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(out, tmp_path / "out")
    forget_failed(kept)
    plan = read_plan(kept)
    assert plan is not None
    assert left(plan, read_points(out)) == []
    assert [(point.model, point.batch) for point in left(plan, read_points(kept))] == [("relight", TOO_MUCH)]


def test_a_sweep_whose_points_all_failed_exits_with_1(out: Path, command: list[str], tmp_path: Path) -> None:
    kept = shutil.copytree(out, tmp_path / "out")
    points = [json.loads(line) for line in (kept / "points.jsonl").read_text().splitlines()]
    failed = "".join(json.dumps({**point, "finding": "fails: too slow"}) + "\n" for point in points)
    (kept / "points.jsonl").write_text(failed)
    assert main([*command, "--output", str(kept)]) == 1
    assert "Nothing to recommend" in (kept / "table.md").read_text()


def test_other_settings_are_refused_with_the_difference(
    out: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    points = (out / "points.jsonl").read_bytes()
    assert main([*command, "--batches", "2,4"]) == 1
    error = capsys.readouterr().err
    assert f"batches [{TOO_MUCH}, 2] → [2, 4]" in error
    assert "--restart" in error
    assert (out / "points.jsonl").read_bytes() == points


@pytest.mark.usefixtures("out")
def test_what_is_applied_is_a_repository_that_serves_the_batch(
    command: list[str], small_memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--apply"]) == 0
    said = capsys.readouterr().out
    assert "`python -m server --max-batch 2`" in said
    name = said.partition("--model-config-name=")[2].partition("`")[0]
    applied = {model: read_config(small_memory / model / "configs" / f"{name}.pbtxt") for model in CONTRACT}
    assert walk(applied) == []
    assert {config.max_batch_size for config in applied.values()} == {2}


@pytest.mark.parametrize("gpus", [0, 2])
@pytest.mark.parametrize("model", CONTRACT)
def test_what_is_applied_is_what_was_measured(model: str, gpus: int) -> None:
    served = derive(production()[model], Machine(gpus=gpus))
    applied = derive(production()[model], Machine(gpus=gpus, max_batch=4, instances=3))
    assert resize(served, batch=4, instances=3, on_gpu=gpus > 0) == applied


def test_points_that_are_done_are_left_out() -> None:
    points = tuple(Point("relight", batch, 1, 2 * batch) for batch in (1, 2, 4))
    done = [Measurement(points[1], finding="no memory"), Measurement(points[0], images_per_second=3.0)]
    assert left(Plan({}, {}, points), done) == [points[2]]


def test_the_pace_is_that_of_full_models() -> None:
    """Two batches of two are in flight, one takes a second; the first ones and the last are left out."""
    steady = [FullWindow(window=4, total=total) for total in (12, 4)]
    for second in range(1, 7):
        for full in steady[: 1 if second > 2 else 2]:
            full.note(float(second), answered=2 * second)
    found, too_short = (full.steady() for full in steady)
    assert found is not None
    assert (found.photos, found.seconds, found.images_per_second) == (4, 2.0, 2.0)
    assert too_short is None


def use_of(text: str) -> GpuUse | None:
    return summarise([parse_metrics(text)])


def test_memory_is_that_of_the_fullest_gpu_and_utilisation_the_mean() -> None:
    page = """# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
nv_gpu_utilization{gpu_uuid="GPU-2"} 1
nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 80000000000
nv_gpu_memory_total_bytes{gpu_uuid="GPU-2"} 80000000000
nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 2e+10
nv_gpu_memory_used_bytes{gpu_uuid="GPU-2"} 40000000000
"""
    assert use_of(page) == GpuUse(memory_mb=40_000.0, memory_total_mb=80_000.0, utilisation=0.75)
    assert use_of('nv_inference_count{model="relight",version="1"} 3\n') is None


def measurements(*memory_shares: float) -> Sequence[Measurement]:
    """Points of growing batch and pace, each with the share of the GPU's memory that it takes."""
    stage = {"segment": Stage(1.0, 1.0, 1.0, 1.0)}
    return [
        Measurement(
            Point("relight", 2**number, 1, 2),
            images_per_second=10.0 + number,
            stages=stage,
            gpu=GpuUse(memory_mb=share * 80_000, memory_total_mb=80_000, utilisation=1.0),
        )
        for number, share in enumerate(memory_shares)
    ]


def test_the_fastest_within_the_memory_share_is_recommended() -> None:
    points = measurements(0.2, 0.5, 0.7, 0.9)
    for share, batch in ((0.8, 4), (0.6, 2), (1.0, 8)):
        chosen = recommend(points, share)
        assert chosen is not None
        assert chosen[0].batch == batch
    assert recommend(points, 0.1) is None


def test_a_server_that_does_not_load_on_request_is_refused(
    server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--url", server.grpc_url, "--models", "segment", "--output", str(tmp_path)]) == 1
    assert "--model-control-mode=explicit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--apply", "--models", "segment"], "add relight to --models"),
        (["--instances", "2"], "--gpus"),
        (["--batches", "4,zero"], "'zero' is not a number"),
        (["--concurrency", "x2"], "multiples such as 2x"),
        (["--photo", "nobody.jpg"], "There is no photo nobody.jpg"),
        (["--json", "demo.py/figures.json"], "figures.json cannot be written (Not a directory)"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert sentence in capsys.readouterr().err
