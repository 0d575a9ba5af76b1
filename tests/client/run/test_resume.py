"""Promises of resuming: no row is done twice, no settings are mixed unless asked, the tables have the same bytes."""

import json
import shutil
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from tests.rig.runs import Server, lines, relight, small_table, tree

NAMES = tuple(f"{name}.png" for name in "abcdef")
# One call at a time is a batch of one, whose bytes do not depend on other requests.
FAST = ("--files", "mask", "--quiet", "--window", "1")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small photos, and a row whose photo is missing."""
    path = small_table(tmp_path_factory.mktemp("photos"), *NAMES)
    path.write_text("image_path\na.png\nb.png\nmissing.png\nc.png\nd.png\ne.png\nf.png\n")
    return path


@pytest.fixture(scope="module")
def undisturbed(server: Server, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run from beginning to end."""
    output = tmp_path_factory.mktemp("undisturbed")
    assert relight(server, table, output, *FAST) == 1
    return output


def asked(server: Server) -> int:
    """How many photos the server has read; the ensemble counts a request too late, after its answer."""
    with triton.InferenceServerClient(server.grpc_url) as client:
        return int(client.get_inference_statistics("decode").model_stats[0].inference_stats.success.count)


def test_the_same_command_does_nothing_twice(
    server: Server, table: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relight(server, table, tmp_path, *FAST, "--limit", "4") == 1
    before = asked(server)
    assert relight(server, table, tmp_path, *FAST) == 1
    assert asked(server) - before == 3
    assert relight(server, table, tmp_path, *FAST) == 1
    assert asked(server) - before == 3
    assert tree(tmp_path) == tree(undisturbed)
    assert "6 rows done (6 of them earlier), 1 failed" in capsys.readouterr().err


def test_the_tables_can_be_written_again_from_the_journal(
    server: Server, table: Path, undisturbed: Path, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    (tmp_path / "small.csv").unlink()
    (tmp_path / "small" / "failed.csv").unlink()
    before = asked(server)
    assert relight(server, table, tmp_path, *FAST, "--rebuild-csv") == 0
    assert tree(tmp_path) == tree(undisturbed)
    assert asked(server) == before


def test_failed_rows_are_listed_and_tried_again_on_request(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png")
    table.write_text("image_path\na.png\nlate.png\n")
    output = tmp_path / "out"
    assert relight(server, table, output, *FAST) == 1
    (failure,) = lines(output / "small" / "failed.csv")
    assert (failure["row"], failure["image_path"]) == ("2", "late.png")
    assert "there is no file" in failure["cause"]
    shutil.copy(tmp_path / "a.png", tmp_path / "late.png")
    before = asked(server)
    assert relight(server, table, output, *FAST) == 1, "what failed because of its photo stays failed"
    assert asked(server) == before
    assert relight(server, table, output, *FAST, "--retry-failed") == 0
    assert asked(server) - before == 1
    assert not (output / "small" / "failed.csv").exists()


def test_other_settings_are_refused_with_the_difference(
    server: Server, table: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    before = asked(server)
    other = ("--files", "mask", "--quiet", "--prompt", "dog", "--seed", "3", "--gray", "9", "--variants", "2")
    assert relight(server, table, tmp_path, *other) == 2
    told = capsys.readouterr().err
    for difference in ("prompt: person → dog", "seed: 0 → 3", "lighting.gray.low: 128 → 9", "files.variants: 1 → 2"):
        assert difference in told
    assert "mask_threshold" not in told
    assert "--restart" in told
    assert asked(server) == before
    assert tree(tmp_path) == tree(undisturbed)


def test_other_settings_go_on_or_start_over_on_request(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png", "b.png")
    output = tmp_path / "out"
    assert relight(server, table, output, *FAST, "--limit", "1") == 0
    before = asked(server)
    assert relight(server, table, output, *FAST, "--seed", "5", "--continue-anyway") == 0
    assert asked(server) - before == 1
    seeds = [json.loads((output / "small" / f"0000{k}_metadata.json").read_text())["seed"] for k in range(2)]
    assert seeds == [0, 5]
    assert relight(server, table, output, *FAST, "--seed", "5") == 0, "the new settings are the folder's now"
    assert relight(server, table, output, *FAST, "--seed", "7", "--restart") == 0
    assert asked(server) - before == 3
    assert json.loads((output / "small" / "00000_metadata.json").read_text())["seed"] == 7


def test_other_networks_are_refused_before_a_file_is_written(
    server: Server, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert relight(server, table, tmp_path, *FAST, "--limit", "1") == 0
    networks = tmp_path / "small" / "journal" / "networks.json"
    kept = json.loads(networks.read_text())
    real = kept["segment"]["sha256"]
    kept["segment"]["sha256"] = "0" * 64  # as a server with other weights had left it
    networks.write_text(json.dumps(kept))
    before = tree(tmp_path)
    assert relight(server, table, tmp_path, *FAST) == 2
    told = capsys.readouterr().err
    assert f"networks.segment.sha256: {'0' * 60}… → {real[:60]}…" in told
    assert tree(tmp_path) == before
    assert relight(server, table, tmp_path, *FAST, "--limit", "2", "--continue-anyway") == 0


def test_an_edited_row_is_done_again_and_a_new_one_is_added(server: Server, tmp_path: Path) -> None:
    table = small_table(tmp_path, "a.png", "b.png")
    table.write_text("image_path,seed\na.png,1\nb.png,1\n")
    output = tmp_path / "out"
    assert relight(server, table, output, *FAST) == 0
    table.write_text("image_path,seed\na.png,1\nb.png,2\na.png,3\n")
    before = asked(server)
    assert relight(server, table, output, *FAST) == 0
    assert asked(server) - before == 2
    assert [line["seed"] for line in lines(output / "small.csv")] == ["1", "2", "3"]


def test_shards_fill_one_folder_and_their_csvs_become_one(
    server: Server, table: Path, undisturbed: Path, tmp_path: Path
) -> None:
    assert relight(server, table, tmp_path, *FAST, "--shard", "1/2") == 1
    assert relight(server, table, tmp_path, *FAST, "--shard", "2/3") == 0, "cut another way in its middle"
    assert [line["image_path"] for line in lines(tmp_path / "small.2of3.csv")] == ["b.png", "d.png"]
    before = asked(server)
    assert relight(server, table, tmp_path, *FAST) == 1
    assert asked(server) - before == 2, "rows 2, 4 and 6, but for the one that was done"
    for name in ("small.csv", "small/failed.csv", "small/00005_mask.png"):
        assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_several_processes_make_the_same_run(server: Server, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    assert relight(server, table, tmp_path, *FAST, "--processes", "2") == 1
    assert tree(tmp_path).keys() == tree(undisturbed).keys()
    assert (tmp_path / "small.csv").read_bytes() == (undisturbed / "small.csv").read_bytes()
    assert len(list((tmp_path / "small" / "journal").glob("*.rows"))) == 2


def test_a_pipe_is_read_once_and_matched_with_the_journal(
    server: Server, table: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    for _ in range(2):
        before = asked(server)
        with table.open("rb") as stream, monkeypatch.context() as patched:
            patched.setattr("sys.stdin", stream)
            assert relight(server, "-", tmp_path, *FAST) == 1
    assert asked(server) == before
    expected = (undisturbed / "small.csv").read_text().replace("small/", "stdin/")
    assert [line for line in (tmp_path / "stdin.csv").read_text().splitlines() if "missing" not in line] == [
        line for line in expected.splitlines() if "missing" not in line
    ]


def test_too_many_failures_end_the_run(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "gone.csv"
    table.write_text("image_path\n" + "".join(f"{k}.jpg\n" for k in range(2000)))
    assert relight(server, table, tmp_path / "out", "--quiet", "--max-failures", "5", "--window", "1") == 1
    assert "more than 5 rows failed: the run ends here" in capsys.readouterr().err
    assert 6 <= len(lines(tmp_path / "out" / "gone.csv")) < 100


def test_the_summary_is_a_file_of_numbers(server: Server, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    assert relight(server, table, tmp_path, *FAST, "--summary", str(tmp_path / "numbers.json")) == 1
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert {"rows_done": 6, "rows_failed": 1, "rows_missing": 0, "done_in_this_run": 0, "exit_code": 1}.items() <= (
        numbers.items()
    )
