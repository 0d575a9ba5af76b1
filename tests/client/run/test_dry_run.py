"""Promises of --dry-run: what it predicts is what happens, nothing is written, what is written last is tried first."""

import shutil
import socket
from pathlib import Path

import pytest

from server.derive import this_machine
from tests.rig.places import SAMPLES
from tests.rig.runs import Server, relight, small_table, tree

OPTIONS = ("--files", "mask", "--quiet")
ROWS = """image_path,pattern,light_azimuth,prompt
a.png,,,
b.png,window,90,person
missing.png,,,
damaged.jpg,,,
a.png,,900,
a.png,9999,,
a.png,,,a purple giraffe
a.png,
,,90,
half.png,,,
coffee.png,,,
"""
NOBODY = "row 11 (coffee.png): Nobody found"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with one row of each kind that fails, two that do not, and a photo without a person."""
    path = small_table(tmp_path_factory.mktemp("photos"), "a.png", "b.png")
    for name in ("damaged.jpg", "coffee.png"):
        shutil.copy(SAMPLES / name, path.parent)
    photo = (path.parent / "a.png").read_bytes()
    (path.parent / "half.png").write_bytes(photo[: len(photo) // 2])
    path.write_text(ROWS)
    return path


@pytest.fixture(scope="module")
def output(server: Server, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run made of that table."""
    folder = tmp_path_factory.mktemp("run")
    assert relight(server, table, folder, *OPTIONS) == 1
    return folder


def failures(told: str) -> list[str]:
    """The lines about rows, in order of the rows."""
    lines = {line for line in told.splitlines() if line.startswith("row ")}
    return sorted(lines, key=lambda line: int(line.split()[1]))


def test_what_a_dry_run_predicts_is_what_happens(
    server: Server, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relight(server, table, tmp_path, *OPTIONS, "--dry-run") == 1
    told = capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert "11 rows: 3 can be sent to the networks, 8 would fail" in told
    assert f"{3 * this_machine(gpus=0).cpu_batch} calls in flight, models albedo 1" in told

    assert relight(server, table, tmp_path, *OPTIONS) == 1
    happened = failures(capsys.readouterr().err)
    assert failures(told) == [line for line in happened if not line.startswith(NOBODY)]
    assert len(happened) == 9


def test_a_dry_run_of_a_run_that_is_done_has_nothing_to_do(
    server: Server, table: Path, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(output, tmp_path, dirs_exist_ok=True)
    before = tree(tmp_path)
    for options, code, sentence in (
        ((), 1, "11 rows: 0 can be sent to the networks, 0 would fail, 11 stay as they are"),
        (("--retry-failed",), 1, "11 rows: 1 can be sent to the networks, 8 would fail, 2 stay as they are"),
        (("--seed", "8"), 2, "seed: 0 → 8"),
        (("--seed", "8", "--restart"), 1, "11 rows: 3 can be sent to the networks, 8 would fail"),
    ):
        assert relight(server, table, tmp_path, *OPTIONS, *options, "--dry-run") == code
        assert sentence in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_without_a_server_photos_are_opened_and_it_says_so(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nobody:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            grpc_url = f"127.0.0.1:{taken.getsockname()[1]}"

    assert relight(Nobody(), table, tmp_path, *OPTIONS, "--dry-run") == 3
    told = capsys.readouterr().err
    assert "start one with `python -m server`" in told
    assert "Photos are opened, not decoded" in told
    assert [line.split()[1] for line in failures(told)] == ["3", "5", "8", "9"]
    assert "11 rows: 7 can be sent to the networks, 4 would fail" in told


@pytest.mark.parametrize("options", [("--dry-run",), ()], ids=["dry", "real"])
def test_what_is_written_last_is_tried_before_the_first_photo(
    server: Server, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    summary = tmp_path / "file" / "numbers.json"
    assert relight(server, table, tmp_path, *OPTIONS, *options, "--summary", str(summary)) == 2
    assert f"--summary {summary} cannot be written" in capsys.readouterr().err

    for taken in ("small.csv", "small/failed.csv"):
        (tmp_path / taken).mkdir(parents=True)
        assert relight(server, table, tmp_path, *OPTIONS, *options) == 2
        told = capsys.readouterr().err
        assert f"{tmp_path / taken} cannot be written (Is a directory); choose another folder with --output" in told
        assert not failures(told)
        (tmp_path / taken).rmdir()
