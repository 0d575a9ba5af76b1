"""Promises about tables that change between runs: only new rows are done, no file of another row stays unnoticed."""

import csv
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from client.output.card import CARD
from client.output.lines import NAME as LINES
from client.run_csv import main
from tests.client.run.test_resume import FAST, asked
from tests.rig.runs import Server, lines, relight, small_table, tree


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    small_table(folder, *(f"{name}.png" for name in "abcde"))
    return folder


def write(table: Path, photos: str, header: str = "image_path") -> Path:
    table.write_text("".join(f"{line}\n" for line in (header, *(f"{name}.png" for name in photos))))
    return table


def files_of(output: Path) -> dict[str, Sequence[str]]:
    """The files by the photo whose row they are, from the table."""
    return {line["image_path"]: line["output_image_path"] for line in lines(output / "small.csv")}


def files_in(output: Path) -> dict[str, bytes]:
    """The files of a run's folder, without those that describe the dataset as the table has it now."""
    return {name: content for name, content in tree(output / "small").items() if name not in (CARD, LINES)}


def test_order_changes_nothing_and_a_row_on_top_is_the_only_one_done(
    server: Server, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, table = tmp_path / "out", photos / "small.csv"
    assert relight(server, write(table, "abcb"), output, *FAST) == 0
    first, before = files_in(output), asked(server)
    assert relight(server, write(table, "bcba"), output, *FAST) == 0
    assert (asked(server), files_in(output)) == (before, first)
    assert [line["image_path"] for line in lines(output / "small.csv")] == ["b.png", "c.png", "b.png", "a.png"]
    assert relight(server, write(table, "dabcb"), output, *FAST, "--shard", "1/2") == 0
    assert asked(server) - before == 1
    assert relight(server, write(table, "dabcb"), output, *FAST) == 0
    assert asked(server) - before == 1
    second = files_in(output)
    assert set(second) - set(first) == {"00004_mask.png", "00004_metadata.json"}
    assert {name: second[name] for name in first} == first
    assert files_of(output)["d.png"] == "small/00004_mask.png"
    assert "no longer in the table" not in capsys.readouterr().err


def test_files_of_rows_that_are_gone_are_named_and_pruned_on_request(
    server: Server, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, table = tmp_path / "out", photos / "small.csv"
    assert relight(server, write(table, "abcd"), output, *FAST) == 0
    whole = files_in(output)
    (output / "small" / "00009_mask.png").touch()  # as --restart with a shorter table leaves it
    (output / "small" / "notes_mask.png").touch()
    write(table, "ca")
    assert relight(server, table, output, *FAST, "--limit", "1") == 0
    assert "no longer" not in capsys.readouterr().err, "the rest of the table was not read"
    sentence = "2 rows are no longer in the table; --prune removes their files: 00001*, 00003*"
    for option in ((), ("--dry-run",)):
        assert relight(server, table, output, *FAST, *option) == 0
        assert sentence in capsys.readouterr().err
    assert relight(server, table, output, *FAST, "--prune") == 0
    assert "no longer" not in capsys.readouterr().err
    kept = {name: content for name, content in whole.items() if name.startswith(("00000", "00002"))}
    assert files_in(output) == kept | {"notes_mask.png": b""}
    before = asked(server)
    assert relight(server, write(table, "cad"), output, *FAST) == 0
    assert asked(server) - before == 1, "what was pruned is done again"
    assert files_of(output)["d.png"] == "small/00001_mask.png"


def test_pruning_needs_the_whole_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--csv", "a.csv", "--output", str(tmp_path), "--prune", "--limit", "3"]) == 2
    assert "leave out --limit and --shard" in capsys.readouterr().err


def test_a_row_with_an_id_keeps_its_files_when_its_photo_changes(server: Server, photos: Path, tmp_path: Path) -> None:
    output, table = tmp_path / "out", photos / "small.csv"
    options = (*FAST, "--id-column", "who")
    table.write_text("who,image_path\nAda,a.png\nBob,b.png\n")
    assert relight(server, table, output, *options) == 0
    before = asked(server)
    table.write_text("who,image_path\nBob,b.png\nAda,c.png\n")
    assert relight(server, table, output, *options) == 0
    assert asked(server) - before == 1
    assert files_of(output) == {"b.png": "small/00001_Bob_mask.png", "c.png": "small/00000_Ada_mask.png"}
    names = {f"{stem}_{ending}" for stem in ("00000_Ada", "00001_Bob") for ending in ("mask.png", "metadata.json")}
    assert set(files_in(output)) == names


def test_a_tar_loses_the_rows_that_are_gone_and_gains_the_new_ones(
    server: Server, photos: Path, tmp_path: Path
) -> None:
    output, table = tmp_path / "out", photos / "small.csv"
    options = (*FAST, "--dataset", "webdataset", "--rows-per-tar", "2")
    assert relight(server, write(table, "abc"), output, *options) == 0
    before = asked(server)
    assert relight(server, write(table, "ecad"), output, *options, "--processes", "2", "--prune") == 0
    assert asked(server) - before == 2
    for number, names in ((0, ["00000"]), (1, ["00002", "00003"]), (2, ["00004"])):
        with tarfile.open(output / "small" / f"{number:05d}.tar") as tar:
            assert sorted({name.split("_")[0] for name in tar.getnames()}) == names
    assert files_of(output)["d.png"] == "small/00002.tar/00004_0.mask.png"
    assert relight(server, write(table, "e"), output, *options, "--prune") == 0
    assert sorted(files_in(output)) == ["00001.tar"]


def test_the_list_of_failed_rows_is_a_table_to_run(
    server: Server, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output, table = tmp_path / "out", Path(os.path.relpath(photos / "small.csv"))
    table.write_text('image_path,seed,error\na.png,1,mine\nlate.png,2,"mine, too"\n')
    assert relight(server, table, output, *FAST) == 1
    with (output / "small.csv").open(newline="") as stream:
        assert next(csv.reader(stream)) == ["image_path", "seed", "error", "output_image_path", "relight_error"]
    shutil.copy(photos / "b.png", photos / "late.png")
    try:
        failed = output / "small" / "failed.csv"
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir("/")
            assert relight(server, failed, tmp_path / "again", *FAST) == 0
        (line,) = lines(tmp_path / "again" / "failed.csv")
        assert line.items() >= {"image_path": "late.png", "seed": "2", "error": "mine, too"}.items()
        assert list(line) == ["image_path", "seed", "error", "output_image_path", "relight_error"]
        assert relight(server, table, output, *FAST, "--retry-failed") == 0
        light = (output / "small" / "00001_metadata.json").read_text().replace("00001", "00000")
        assert (tmp_path / "again" / "failed" / "00000_metadata.json").read_text() == light
    finally:
        (photos / "late.png").unlink()


def test_a_journal_of_another_version_is_refused_in_one_sentence(
    server: Server, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(photos / "small.csv", "a")
    assert relight(server, table, tmp_path, *FAST) == 0
    settings = tmp_path / "small" / "journal" / "settings.json"
    settings.write_text(settings.read_text().replace('"journal": 2', '"journal": 1'))
    for option in ("--continue-anyway", "--dry-run", "--rebuild-csv", "--quiet"):
        assert relight(server, table, tmp_path, *FAST, option) == 2
        assert "made by another version, whose journal this one does not read" in capsys.readouterr().err
    assert relight(server, table, tmp_path, *FAST, "--restart") == 0
