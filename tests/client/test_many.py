"""Promises of relight_folder: a run as the command makes it, from Python, with a summary or a sentence."""

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from client import RelightError, Summary, relight_folder
from tests.rig.runs import Server, recorded, relight, small_table, tree, wait_for

OPTIONS: dict[str, Any] = {"files": ["output", "mask"], "variants": 2, "split": {"train": 1}, "quiet": True}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two small photos and a damaged one."""
    (tmp_path / "small").mkdir()
    small_table(tmp_path / "small", "a.png", "b.png").unlink()
    (tmp_path / "small" / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "small"


def test_it_makes_and_resumes_what_the_command_makes(server: Server, photos: Path, tmp_path: Path) -> None:
    async def cell() -> Summary:  # a notebook's event loop runs
        return relight_folder(photos, tmp_path / "out", url=[server.grpc_url], window=1, **OPTIONS)

    summary = asyncio.run(cell())
    assert (summary.done, summary.failed, summary.missing) == (2, 1, 0)
    assert (summary.folder, summary.table) == (tmp_path / "out" / "small", tmp_path / "out" / "small.csv")
    assert "row 3 (damaged.jpg): " in summary.failures[0]
    assert repr(summary).startswith("<2 rows done, 1 failed in ")
    options = ("--files", "output,mask", "--variants", "2", "--split", "train=1", "--window", "1", "--quiet")
    assert relight(server, photos, tmp_path / "command", *options) == 1
    assert tree(tmp_path / "command") == tree(tmp_path / "out")
    again = relight_folder(photos, tmp_path / "out", url=server.grpc_url, **OPTIONS)
    assert (again.done, again.failed, again.failures) == (2, 1, [])
    assert sorted(recorded(tmp_path / "out")) == [0, 1, 2]


def test_a_cell_that_is_stopped_resumes(server: Server, tmp_path: Path) -> None:
    table, out = small_table(tmp_path, *(f"{name}.png" for name in "abcdefgh")), tmp_path / "out"

    def stop() -> None:
        wait_for(lambda: bool(recorded(out)), 60)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=stop)
    watcher.start()
    with pytest.raises(KeyboardInterrupt):
        relight_folder(table, out, url=server.grpc_url, window=1, files="mask", quiet=True)
    watcher.join()
    assert 1 <= len(recorded(out)) < 8
    assert relight_folder(table, out, url=server.grpc_url, files="mask", quiet=True).done == 8
    assert sorted(recorded(out)) == list(range(8))


def test_waiting_for_a_server_can_be_stopped(tmp_path: Path) -> None:
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        relight_folder(small_table(tmp_path, "a.png"), tmp_path / "out", url="localhost:1", wait_for_server=60)
    timer.join()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"variants": 0}, "argument --variants: '0' must be a whole number from 1"),
        ({"lamp": 1}, "unrecognized arguments: --lamp=1"),
        ({"dry_run": True}, "relight_folder has no dry_run; use the command"),
        ({"group_column": "who"}, "--group-column needs --split"),
        ({"files": "lamp"}, "there are no files called lamp"),
        ({"url": "localhost:1"}, "no server answers at localhost:1"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    server: Server, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    table = small_table(tmp_path, "a.png")
    with pytest.raises(RelightError, match=sentence):
        relight_folder(table, tmp_path / "out", **{"url": server.grpc_url, **options})
