"""Promises of objects below a URL: whole under their names, told apart by their content, and new only once."""

from pathlib import Path

import pytest

from client.output.store.objects import Objects


@pytest.mark.parametrize("protocol", ["memory", "file"])  # a store, and a file system where files grow
def test_objects_are_written_whole_and_read_back(protocol: str, tmp_path: Path) -> None:
    objects = Objects(f"{protocol}://{tmp_path}/bucket", retry_seconds=0)
    (tmp_path / "a").write_bytes(b"content")
    tag = objects.put(tmp_path / "a", "run [1]/a.tar")
    assert objects.put(b"other", "run [1]/b.tar") != tag
    assert objects.tags("run [1]") == {"run [1]/a.tar": tag, "run [1]/b.tar": objects.tag("run [1]/b.tar")}
    assert dict(objects.read(["run [1]/b.tar", "run [1]/a.tar"])) == {
        "run [1]/a.tar": b"content",
        "run [1]/b.tar": b"other",
    }
    objects.get("run [1]/a.tar", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"
    assert (objects.put_new(b"1", "run [1]/new"), objects.put_new(b"2", "run [1]/new")) == (True, False)
    objects.remove(["run [1]/a.tar", "run [1]/none"])
    assert set(objects.tags("run [1]")) == {"run [1]/b.tar", "run [1]/new"}
    with pytest.raises(FileNotFoundError) as caught:
        objects.get("run [1]/a.tar", tmp_path / "copy")
    assert caught.value.filename == f"{protocol}://{tmp_path}/bucket/run [1]/a.tar"
