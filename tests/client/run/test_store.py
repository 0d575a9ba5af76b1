"""Promises of --output s3://…: whole objects, written once, the same as on a disk, and resumed from any machine."""

import io
import json
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from pyarrow import parquet

from tests.client.run.s3_server import BUCKET, Refusal, Store, running_store
from tests.client.run.test_resume import asked
from tests.rig.places import ROOT
from tests.rig.runs import Server, relight, small_table, tree
from tests.rig.served import serving

WAIT_SECONDS = 60.0  # what is waited for takes under 10 on an idle machine
OPTIONS = ("--files", "mask", "--quiet", "--window", "1", "--rows-per-tar", "2", "--timeout", "5")
NAMES = "abcdefghijkl"


@pytest.fixture(scope="module")
def server(plain_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose networks cost next to nothing."""
    with serving(plain_repository, tmp_path_factory.mktemp("triton")) as running:
        yield running


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as running:
        yield running


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve photos, of which the last is missing."""
    path = small_table(tmp_path, *(f"{name}.png" for name in NAMES))
    (tmp_path / "l.png").rename(tmp_path / "later.png")
    return path


def done(summary: Path) -> int:
    """The rows that the last run with this summary has done."""
    return int(json.loads(summary.read_text())["done_in_this_run"])


def test_a_killed_run_is_resumed_elsewhere_and_every_row_is_there_once_in_whole_objects(
    server: Server, store: Store, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, options = f"s3://{BUCKET}/killed", (*OPTIONS, "--dataset", "webdataset", "--summary", tmp_path / "summary")

    def again(work: str, *more: str) -> int:
        return relight(server, table, place, *options, "--work", tmp_path / work, *more)

    assert relight(server, table, tmp_path / "disk", *options) == 1
    store.hold = lambda request: request.endswith("killed/small/00002.tar") and request.startswith("PUT")
    command = [sys.executable, ROOT / "client" / "run_csv.py", "--csv", table, "--output", place]
    # The third tar is the last one: no call is in flight, whose end could end this Triton.
    command += ["--url", server.grpc_url, *options, "--work", tmp_path / "first", "--limit", "6"]
    with subprocess.Popen(list(map(str, command))) as killed:
        assert store.held.wait(WAIT_SECONDS)
        killed.send_signal(signal.SIGKILL)
    store.go_on.set()  # the third tar comes into the bucket, but nobody says what is in it
    assert set(store.objects("killed")) <= {f"small/0000{number}.tar" for number in range(3)}
    store.refusals = [Refusal("PUT .*tar", "503 Slow Down", "ServiceUnavailable", 2)]
    assert again("second") == 1
    assert done(tmp_path / "summary") == 7
    assert store.objects("killed") == tree(tmp_path / "disk")
    assert not list((tmp_path / "second").rglob("*.tar"))
    assert f"{place}/small.csv" in capsys.readouterr().err
    writes = Counter(store.puts(".tar"))
    assert {name[-9:]: count for name, count in writes.items()} == {
        f"0000{number}.tar": 1 + (number == 2) for number in range(6)
    }
    for name, content in store.objects("killed").items():
        if name.endswith(".tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                assert len(tar.getmembers()) == 4 - 2 * name.endswith("5.tar")

    assert again("third") == 1
    assert (done(tmp_path / "summary"), Counter(store.puts(".tar"))) == (0, writes)
    assert again("third", "--seed", "7") == 2
    assert f"the files in {place}/small were made with other settings" in capsys.readouterr().err
    store.remove("killed/small/00001.tar")
    assert again("third") == 1
    assert (done(tmp_path / "summary"), store.objects("killed")) == (2, tree(tmp_path / "disk"))

    (tmp_path / "later.png").rename(tmp_path / "l.png")
    assert again("fourth", "--retry-failed") == 0
    assert relight(server, table, tmp_path / "disk", *options, "--retry-failed") == 0
    assert (done(tmp_path / "summary"), store.objects("killed")) == (1, tree(tmp_path / "disk"))

    store.remove("killed/small.csv")
    tars = store.puts(".tar")
    assert (again("fifth", "--dry-run"), again("fifth", "--rebuild-csv")) == (0, 0)
    assert (store.puts(".tar"), store.objects("killed")) == (tars, tree(tmp_path / "disk"))
    assert again("fifth", "--restart") == 0
    assert (done(tmp_path / "summary"), store.objects("killed")) == (12, tree(tmp_path / "disk"))


def test_parquet_files_begun_on_another_machine_are_those_of_a_disk_and_lose_what_the_table_has_lost(
    server: Server, store: Store, table: Path, tmp_path: Path
) -> None:
    place = f"s3://{BUCKET}/parquet"
    options = (*OPTIONS, "--dataset", "parquet", "--split", "train=0.5,val=0.5")
    there = (*options, "--work", tmp_path / "work")
    assert relight(server, table, place, *options, "--work", tmp_path / "another", "--limit", "3") == 0
    assert relight(server, table, place, *there, "--processes", "2") == 1
    assert relight(server, table, tmp_path / "disk", *options) == 1
    assert store.objects("parquet") == tree(tmp_path / "disk")
    system = fsspec.filesystem("s3")
    files = system.glob(f"{BUCKET}/parquet/small/*/*.parquet")
    keys = [key for file in files for key in parquet.read_table(file, filesystem=system)["key"].to_pylist()]
    assert sorted(keys) == [f"{number:05d}_0" for number in range(11)]
    table.write_text(table.read_text().replace("a.png\nb.png\nc.png\n", ""))
    assert relight(server, table, place, *there, "--prune") == 1
    assert relight(server, table, tmp_path / "disk", *options, "--prune") == 1
    assert store.objects("parquet") == tree(tmp_path / "disk")


def test_a_store_that_fails_is_told_in_a_sentence_and_costs_no_row(
    server: Server, store: Store, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, packed = f"s3://{BUCKET}/lost", ("--dataset", "webdataset", "--work", str(tmp_path / "work"))
    options = (*OPTIONS, "--summary", str(tmp_path / "summary"))

    def told(code: int, *more: str, output: str = place) -> str:
        assert relight(server, table, output, *options, *more) == code
        return capsys.readouterr().err

    before = asked(server)
    assert f"--dataset folder is not written to {place}: choose webdataset or parquet" in told(2)
    assert "s3://nowhere/small" in (said := told(2, *packed, output="s3://nowhere"))
    assert "make the bucket first" in said
    store.refusals = [Refusal("PUT .*lost", "403 Forbidden", "AccessDenied", 1)]
    assert "give credentials" in told(2, *packed)
    store.refusals = [Refusal("PUT .*00001.tar", "500 Error", "InternalError", -1)]
    said = told(1, *packed, "--timeout", "1")
    assert f"{place}/small/00001.tar: the test refuses; the same command resumes the run" in said
    store.refusals = []
    assert "11 rows done (" in told(1, *packed)
    assert asked(server) - before == 11  # those in flight too
