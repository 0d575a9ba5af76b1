"""Promises about how a run ends or does not begin: Ctrl-C, no server, invalid options."""

import os
import re
import shutil
import signal
import socket
from pathlib import Path

import pytest
from PIL import Image

from client.run_csv import main
from tests.rig.places import SAMPLES
from tests.rig.runs import Server, lines, relight, small_table, started


def test_ctrl_c_completes_the_csv_without_a_traceback(server: Server, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "grace_hopper.jpg", tmp_path)
    table = tmp_path / "long.csv"
    table.write_text("image_path\nmissing.jpg\n" + "grace_hopper.jpg\n" * 500)
    with started(server.grpc_url, table, tmp_path / "out", "--window", "2") as process:
        assert process.stderr is not None
        assert "missing.jpg" in process.stderr.readline()  # the run is under way
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in told
    written = lines(tmp_path / "out" / "long.csv")
    assert 1 <= len(written) < 501
    for line in written:
        assert None not in line.values()
        assert bool(line["output_image_path"]) != bool(line["error"])
        if line["output_image_path"]:
            Image.open(tmp_path / "out" / line["output_image_path"]).load()
    assert not list((tmp_path / "out" / "long").glob(".*.tmp"))
    limit = str(len(written) + 1)
    assert relight(server, table, tmp_path / "out", "--limit", limit) == 1, "the same command resumes"
    assert len(lines(tmp_path / "out" / "long.csv")) == int(limit)


def test_ctrl_c_does_not_wait_for_a_pipe_that_stays_silent(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        started(server.grpc_url, tmp_path / "pipe", tmp_path / "out") as process,
        (tmp_path / "pipe").open("w") as pipe,
    ):
        pipe.write("image_path\nmissing.jpg\n")
        pipe.flush()
        assert process.stderr is not None
        assert "missing.jpg" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 130


def test_no_server_is_said_with_its_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound, never listening: nobody can answer there
        taken.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{taken.getsockname()[1]}"
        code = main(["--csv", str(SAMPLES / "samples.csv"), "--output", str(tmp_path), "--url", url])
    assert code == 3
    told = capsys.readouterr().err
    assert url in told
    assert "python -m server" in told
    assert not list(tmp_path.iterdir())


def test_a_csv_without_image_path_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos.csv").write_text("path,score\na.jpg,1\n")
    assert main(["--csv", str(tmp_path / "photos.csv"), "--output", str(tmp_path / "out")]) == 2
    assert "columns found are: path, score" in capsys.readouterr().err


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png")
    before = table.read_bytes()
    assert main(["--csv", str(table), "--output", str(tmp_path)]) == 2
    assert table.read_bytes() == before


def test_an_output_that_cannot_be_a_folder_is_bad_usage(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file")
    assert relight(server, small_table(tmp_path, "a.png"), tmp_path / "taken") == 2
    assert "choose another folder with --output" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        ("--url", "http://localhost:8001"),
        ("--gray", "256"),
        ("--variants", "0"),
        ("--score-threshold", "1.5"),
        ("--files", "lamp"),
        ("--format", "gif"),
        ("--dataset", "tar"),
        ("--split", "a b=1"),
        ("--shard", "3/2"),
    ],
)
def test_bad_options_are_refused_with_a_sentence(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--csv", "a.csv", "--output", "out", *option])
    assert exit_.value.code == 2
    assert re.search(rf"argument {option[0]}: .*{option[1]}", capsys.readouterr().err)
