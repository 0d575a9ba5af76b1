"""Promises of a run's destination: its journal says only what is there, whoever writes, wherever a run is killed."""

import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import pytest

from client.input.row import Identity, Row, Shard
from client.output.files import row_files, writer_of
from client.output.folder import RunFolder
from client.output.journal import DONE, FAILED
from client.output.plan import Plan
from client.output.records import Records
from client.output.store.destination import Destination
from client.output.store.objects import Objects
from tests.client.output.test_files import LIGHT

RECORDS = Records(Plan(("mask",), dataset="webdataset", rows_per_tar=4), ["image_path"])


def machine(work: Path) -> RunFolder:
    """The folder of a run on a machine, whose files go to the same place as those of the others beside it."""
    return RunFolder(work / "t", Shard(block=4), Destination(f"memory://{work.parent}/t", work / "t", retry_seconds=0))


def write(folder: RunFolder, indices: Sequence[int], failed: Sequence[int] = ()) -> None:
    """Write rows as a pipeline does."""
    journal, writer = folder.journal(folder.next_session()), writer_of(folder.path, RECORDS, folder.pack)
    for index in indices:
        row = Row(index, (f"{index}.png",), f"{index}.png", numbered=Identity(index, index + 100, 0))
        writer.write(row, row_files(row, RECORDS, {"mask": [b"m"]}, {"lights": [LIGHT], "score": 0.5}))
        journal.done(row.identity, index + 1)
        writer.finished(row)
    for index in failed:
        journal.failed(Identity(index, index + 100, 0), "it is damaged")


def states(folder: RunFolder) -> dict[int, int]:
    return {number: int(state) for number, state in enumerate(folder.past().states) if state}


def members(folder: RunFolder, number: int) -> list[str]:
    """What is in a tar at the destination."""
    content = fsspec.filesystem("memory").cat_file(f"{folder.path.parents[1]}/t/{number:05d}.tar")
    with tarfile.open(fileobj=BytesIO(content)) as tar:
        return [member.name for member in tar if member.name.endswith("png")]


def test_machines_add_their_rows_to_the_same_file_one_after_the_other(tmp_path: Path) -> None:
    one, other, third = (machine(tmp_path / name) for name in ("one", "other", "third"))
    with one.claimed(), other.claimed():
        write(one, [0, 2])
        write(other, [3, 4, 5, 6, 7], failed=[1])
        assert not list(other.path.glob("*.tar"))  # the whole one is uploaded and gone
        for folder in (one, other):
            for number in folder.store.unpublished() if folder.store else ():
                folder.pack(RECORDS, number)
    with third.claimed():
        assert states(third) == dict.fromkeys([0, 2, 3, 4, 5, 6, 7], DONE) | {1: FAILED}
        assert (third.past(marks=True).mark(2), third.past().cause(1)) == (3, "it is damaged")
    assert members(one, 0) == ["00000_0.mask.png", "00002_0.mask.png", "00003_0.mask.png"]


def test_a_file_without_its_entry_does_not_count_but_on_the_machine_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine(tmp_path / "one"), machine(tmp_path / "other")
    put = Objects.put

    def lost(self: Objects, content: Any, name: str) -> str:
        if name.endswith(".entry"):
            raise OSError("the connection is lost")
        return put(self, content, name)

    with one.claimed():
        write(one, [0, 1])
        one.pack(RECORDS, 0)
        write(one, [2, 3])
        monkeypatch.setattr(Objects, "put", lost)
        with pytest.raises(OSError, match="lost"):
            one.pack(RECORDS, 0)
        monkeypatch.undo()
    assert len(members(one, 0)) == 4
    other.check_writable()  # looks, and begins nothing
    assert states(other) == {}  # what the file held before has been replaced
    with one.claimed():
        assert states(one) == dict.fromkeys(range(4), DONE)
        one.pack(RECORDS, 0)
    with other.claimed():
        assert states(other) == dict.fromkeys(range(4), DONE)
    write(one, [4])
    with one.claimed():  # another machine has begun a run since
        assert states(one) == dict.fromkeys(range(4), DONE)
        assert not (one.path / "pieces").exists()
