"""Promises of photo reading: a file opens whatever its name, and one that does not gives the reason on one line."""

import gzip
import io
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import fsspec
import pyarrow.parquet
import pytest

from client.errors import PassingError, RowError, TableError
from client.input.photos import read_image
from client.input.source import Source, stem_of


def photo(folder: Path, name: str | bytes) -> None:
    (folder / os.fsdecode(name)).write_bytes(b"photo")


@pytest.mark.parametrize(
    "name", ["a.jpg", " a.jpg ", "caf\udce9.jpg", "naïve.jpg", "a\nb.jpg", "sub*[1].jpg", "%41.jpg"]
)
def test_a_file_opens_by_the_name_it_has(tmp_path: Path, name: str) -> None:
    photo(tmp_path, name)
    assert read_image(name, tmp_path) == b"photo"


def test_file_names_that_are_not_utf8_come_through_the_table(tmp_path: Path) -> None:
    photo(tmp_path, b"caf\xe9.jpg")
    (tmp_path / "latin.csv").write_bytes(b"image_path\ncaf\xe9.jpg\n")
    source = Source(str(tmp_path / "latin.csv"))
    (row,) = source.rows()
    assert read_image(row.image_path, source.folder) == b"photo"


@pytest.mark.parametrize(
    ("on_disk", "written"),
    [
        (b"sub/a.jpg", r"sub\a.jpg"),
        ("caf\u00e9.jpg".encode(), "cafe\u0301.jpg"),  # composed on disk, decomposed in the table, as macOS has it
        ("cafe\u0301.jpg".encode(), "caf\u00e9.jpg"),
        (b"caf\xe9.jpg", "caf\u00e9.jpg"),  # Latin-1 on disk
        (b"caf\xe9.jpg", "cafe\u0301.jpg"),
        ("caf\u00e9.jpg".encode(), "caf\udce9.jpg"),  # Latin-1 in the table
        (b"sub/caf\xe9.jpg", "sub\\caf\u00e9.jpg"),
    ],
)
def test_a_file_opens_as_another_system_spells_its_name(tmp_path: Path, on_disk: bytes, written: str) -> None:
    folder = tmp_path / "d\u00e9j\u00e0"
    (folder / "sub").mkdir(parents=True)
    photo(folder, on_disk)
    assert read_image(written, folder) == b"photo"


def test_a_path_with_a_drive_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="image_path names a drive of Windows: write its path here"):
        read_image(r"C:\photos\a.jpg", tmp_path)


def test_blanks_around_a_path_are_dropped_where_no_file_has_them(tmp_path: Path) -> None:
    photo(tmp_path, "a.jpg")
    assert read_image(" a.jpg\t", tmp_path) == b"photo"


def test_paths_start_at_the_table_then_at_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "beside", tmp_path / "here"
    beside.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    with pytest.raises(RowError) as missing:
        read_image("a.jpg", beside)
    assert str(beside / "a.jpg") in str(missing.value)
    assert str(here / "a.jpg") in str(missing.value)
    (here / "a.jpg").write_bytes(b"here")
    assert read_image("a.jpg", beside) == b"here"
    (beside / "a.jpg").write_bytes(b"beside")
    assert read_image("a.jpg", beside) == b"beside"
    assert read_image(str(here / "a.jpg"), beside) == b"here"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("empty.jpg", "is empty; copy the photo again"),
        ("folder", "is a folder; image_path must name a file"),
        ("pipe", "is a device or a pipe"),
        ("/dev/zero", "is a device or a pipe"),
        ("loop.jpg", "cannot be read (Too many levels of symbolic links)"),
        ("huge.jpg", "is larger than 2 GB"),
        ("/proc/self/mem", "cannot be read (Input/output error)"),  # as on a failing disk
        ("empty.jpg/a.jpg", "there is no file"),
        ("not\nhere.jpg", "there is no file"),
        ("nul\0.jpg", "cannot be read (embedded null byte)"),
        ("y" * 10_000, "cannot be read (File name too long)"),
    ],
)
def test_what_is_no_photo_says_so_on_one_line(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(2**31)  # takes no room on the disk
    with pytest.raises(RowError) as refused:
        read_image(name, tmp_path)
    assert sentence in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 600


class _Site(SimpleHTTPRequestHandler):
    """Serves a folder; the first request to each path under /flaky/ fails, /broken/ always does."""

    failed: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        if self.path.startswith("/broken/") or (self.path.startswith("/flaky/") and self.path not in self.failed):
            self.failed.add(self.path)
            self.send_error(503)
        else:
            self.path = self.path.removeprefix("/flaky")
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The URL of a web server with a table and photos."""
    (tmp_path / "photos").mkdir()
    photo(tmp_path / "photos", "a b.jpg")
    (tmp_path / "list.csv").write_text("image_path\nphotos/a b.jpg\nphotos/none.jpg\n")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Site, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_table_and_its_photos_may_lie_on_the_web(site: str) -> None:
    source = Source(f"{site}/list.csv?version=2")
    assert (stem_of(f"{site}/list.csv?version=2"), Source(f"{site}/list.csv").count()) == ("list", None)
    first, second = source.rows()
    assert read_image(first.image_path, source.folder) == b"photo"
    assert read_image(f"{site}/photos/a b.jpg", "/nowhere") == b"photo"
    with pytest.raises(RowError, match=rf"there is no file {site}/photos/none\.jpg"):
        read_image(second.image_path, source.folder)
    with pytest.raises(TableError, match=r"none\.csv cannot be opened"):
        Source(f"{site}/none.csv")


def test_what_passes_on_the_web_is_asked_for_again(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.input.remote._BACK_OFF_SECONDS", 0.01)
    assert read_image(f"{site}/flaky/photos/a b.jpg", "") == b"photo"
    with pytest.raises(PassingError, match=r"cannot be read \(HTTP 503 Service Unavailable\)"):
        read_image(f"{site}/broken/a.jpg", "")


@pytest.mark.parametrize("name", ["list.csv", "list.csv.gz", "list.parquet"])
def test_any_store_of_fsspec_will_do(name: str) -> None:
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"image_path": ["a.jpg"]}), parquet)
    text = b"image_path\na.jpg\n"
    tables = {"list.csv": text, "list.csv.gz": gzip.compress(text), "list.parquet": parquet.getvalue()}
    fsspec.filesystem("memory").pipe({f"/set/{name}": tables[name], "/set/a.jpg": b"photo"})
    source = Source(f"memory://set/{name}")
    (row,) = source.rows()
    assert read_image(row.image_path, source.folder) == b"photo"


def test_an_unknown_kind_of_url_says_so() -> None:
    with pytest.raises(RowError, match=r"a\.jpg cannot be read \(Protocol not known: teapot"):
        read_image("teapot://kettle/a.jpg", "")


def test_urls_without_the_extra_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)  # as where it is not installed
    with pytest.raises(RowError, match=r"the extra `remote`: pip install 'relight-triton\[remote\]'"):
        read_image("s3://bucket/a.jpg", "")
    with pytest.raises(TableError, match=r"the extra `remote`"):
        Source("s3://bucket/list.csv")
