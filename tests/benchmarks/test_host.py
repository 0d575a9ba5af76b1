"""The host benchmark: what it measures alone is what the server does, and what it compares is the same work."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.path.decoders import DECODERS, OURS, compare_sizes, read_with_pillow
from benchmarks.path.encoders import compare_encoders, in_16_bits, read_pictures, write_with_pillow
from benchmarks.path.host import main
from benchmarks.path.pipeline import Cost, Round, figures, measure_wire, prepare_stages, table_of
from benchmarks.rig.lights import Row
from benchmarks.rig.networks import PICTURES
from benchmarks.rig.photos import write_photos
from benchmarks.rig.processes import RunFailedError, Steady, client_command, watch
from benchmarks.rig.triton import FILES
from contract.names import NETWORKS
from server.embedded import RunningServer

WINDOW = 2


@dataclass(frozen=True)
class Run:
    """Photos, and the pictures that the client had the server make of the first few."""

    photos: Path
    rows: Sequence[Row]
    pictures: Path
    wire: float


@pytest.fixture(scope="module")
def run(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Run:
    photos = tmp_path_factory.mktemp("photos")
    rows = write_photos(photos, 6)
    wire, pictures = measure_wire(server, photos, rows[:2], photos / "out")
    return Run(photos, rows, pictures, wire)


def test_the_stages_alone_make_the_very_files_that_the_server_makes(run: Run) -> None:
    photos = [(run.photos / row.photo).read_bytes() for row in run.rows[:2]]
    stages = prepare_stages(photos, [row.light for row in run.rows[:2]], FILES)
    assert [stage.name for stage in stages] == ["decode", *NETWORKS, "encode"]
    served = [(run.pictures / f"{row.name}_{name}.png").read_bytes() for row in run.rows[:2] for name in PICTURES]
    assert stages[-1].run() == served


def test_little_goes_over_the_wire_besides_the_files(run: Run) -> None:
    assert 1.0 < run.wire < 1.1


def test_a_run_is_watched_while_the_window_is_full(run: Run, server: RunningServer, tmp_path: Path) -> None:
    command = client_command(server.grpc_url, table_of(run.photos, run.rows), tmp_path, "--window", str(WINDOW))
    steady = watch(command, server, len(run.rows), WINDOW)
    assert 1 <= steady.photos <= len(run.rows) - WINDOW
    assert set(steady.cpu) == {"client", "tritonserver", "decode", *NETWORKS, "encode"}
    assert all(seconds >= 0.0 for seconds in steady.cpu.values())
    assert 0.0 < steady.busy < 1.1


def test_a_run_that_fails_says_why(run: Run, server: RunningServer, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    table.write_text("image_path\nnobody.jpg\n")
    with pytest.raises(RunFailedError, match="exit code 1"):
        watch(client_command(server.grpc_url, table, tmp_path / "out"), server, 8, WINDOW)


def test_every_picture_is_compared_with_both_libraries(run: Run) -> None:
    pictures = read_pictures(run.pictures, 2, PICTURES)
    deep = in_16_bits(pictures)
    assert {(pixels.dtype.name, pixels.shape) for pixels in deep.values()} == {("uint16", (1024, 1024))}
    found = {figure.name: figure.value for figure in compare_encoders({**pictures, **deep}, rounds=1)}
    photos = {photo for photo, _ in pictures}
    assert len(found) == 2 * (len(pictures) + len(deep)) + len(photos) + 4
    for photo, name in pictures:
        ours, pillows = run.pictures / f"{photo}_{name}.png", BytesIO()
        Image.fromarray(pictures[photo, name]).save(pillows, "PNG")
        expected = ours.stat().st_size / len(pillows.getvalue())
        assert found[f"PNG of {photo} {name}, bytes ÷ Pillow's"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", DECODERS)
def test_the_decoders_compared_give_the_same_pixels(run: Run, kind: str) -> None:
    jpeg = (run.photos / run.rows[0].photo).read_bytes()
    decoders, data = DECODERS[kind], jpeg if kind == "JPEG" else write_with_pillow(read_with_pillow(jpeg))
    pixels = {name: decode(data).astype(int) for name, decode in decoders.items()}
    for name in decoders:
        assert pixels[name].shape == (1024, 1024, 3)
        # Libraries round a JPEG's colours differently.
        assert np.abs(pixels[name] - pixels[OURS]).max() <= (4 if kind == "JPEG" else 0), name


def test_large_photos_are_decoded_as_they_are_and_scaled() -> None:
    found = compare_sizes(np.zeros((80, 100, 3), np.uint8), rounds=1, large={"4 MP": (2400, 2048)})
    assert [figure.name for figure in found] == [
        f"decode, a JPEG of 4 MP, {how}" for how in ("as it is", "--size 1024")
    ]


def test_the_ratios_are_those_of_the_rounds() -> None:
    alone = {name: Cost(0.1, 0.05) for name in ("decode", *NETWORKS, "encode")} | {"segment": Cost(0.3, 0.2)}
    cpu = {"client": 1.0, "tritonserver": 1.0, "decode": 2.0, "segment": 4.0}
    ours, theirs = Steady(10, 100.0, 105.0, cpu, 0.5), Steady(10, 100.0, 104.0, cpu)
    measured = Round(ours, theirs, alone, dict.fromkeys(NETWORKS, 0.5))
    found = {figure.name: figure.value for figure in figures([measured], client_alone=0.2)}
    assert found["run_csv through the embedded server"] == 2.0
    assert found["images/s ÷ the slowest stage alone (segment)"] == pytest.approx(0.4)
    assert found["CPU of decode, a photo"] == pytest.approx(200.0)
    assert found["CPU of the whole path ÷ its stages alone"] == pytest.approx(0.8)  # 0.8 s over 0.2 + 5 · 0.1 + 0.3
    assert found["mean batch ÷ largest, shadow"] == 0.5
    assert found["images/s, run_csv ÷ perf_analyzer"] == pytest.approx(0.8)


def test_the_command_measures_the_parts_that_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert main(["--parts", "decode", "--rounds", "1", "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert content["machine"] in capsys.readouterr().out
    assert {figure["name"].split()[0] for figure in content["figures"]} == {"JPEG", "PNG"}


@pytest.mark.parametrize("arguments", [["--parts", "latency"], ["--windows", "2"], ["--rounds", "0"]])
def test_what_makes_no_sense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert arguments[1] in capsys.readouterr().err
