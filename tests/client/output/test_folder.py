"""Promises of a run's folder: runs with common rows exclude each other, every changed setting is reported."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from client.errors import TableError
from client.input.row import WHOLE, Shard
from client.output.folder import RunFolder
from client.output.journal import VERSION
from client.output.settings import SettingsChangedError


@pytest.mark.parametrize("other", [WHOLE, Shard(1, 2), Shard(3, 4), Shard(2, 3)])
def test_runs_with_rows_in_common_exclude_each_other(tmp_path: Path, other: Shard) -> None:
    with (
        RunFolder(tmp_path, Shard(1, 2)).claimed(),
        pytest.raises(TableError, match="another run is writing"),
        RunFolder(tmp_path, other).claimed(),
    ):
        pass
    with RunFolder(tmp_path, other).claimed():
        pass


def test_runs_without_rows_in_common_share_the_folder(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for shard in (Shard(1, 2), Shard(2, 4), Shard(4, 4)):
            stack.enter_context(RunFolder(tmp_path, shard).claimed())


def test_every_difference_of_the_settings_is_reported_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    old = {"prompt": "person", "files": {"format": "png", "variants": 1}, "id_column": None, "journal": VERSION}
    with folder.claimed():
        folder.agree(old, anyway=False)
        folder.agree({**old, "prompt": "dog"}, anyway=False)  # no row is done yet
        folder.journal(folder.next_session()).close()
        with pytest.raises(SettingsChangedError) as refused:
            folder.agree({**old, "prompt": "cat", "files": {"format": "webp", "variants": 1}}, anyway=False)
        lines = str(refused.value).splitlines()
        assert lines[1:-1] == ["  files.format: png → webp", "  prompt: dog → cat"]
        folder.agree(old, anyway=True)
        folder.agree(old, anyway=False)


def test_the_first_answer_decides_about_the_networks(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    one, other = RunFolder(tmp_path), RunFolder(tmp_path)
    one.agree_on_networks({"segment": {"sha256": "a"}})
    other.agree_on_networks({"segment": {"sha256": "a"}})
    with pytest.raises(SettingsChangedError, match=r"networks.segment.sha256: a → b"):
        other.agree_on_networks({"segment": {"sha256": "b"}})
