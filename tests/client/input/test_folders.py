"""Promises of folders and globs: photos are told by their content, everything else is counted, nothing ends the run."""

import os
from pathlib import Path

import pytest

from client.errors import RowError, TableError
from client.input.folders import begins_like_a_photo
from client.input.photos import read_image
from client.input.source import Source
from tests.fuzz.samples import make_samples

JPEG = b"\xff\xd8\xff\xe0 and so on"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nested folders of empty photos, with other files among them."""
    folder = tmp_path / "photos"
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "sub/deep/d.webp", "sub/c.jpeg", "B.jpg", ".git/e.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    return folder


def paths_of(text: object) -> list[str]:
    return [row.image_path for row in Source(str(text)).rows()]


def left_out(text: object) -> str:
    source = Source(str(text))
    assert list(source.rows())
    return source.left_out()


def test_a_folder_gives_its_images_in_the_order_of_their_names(photos: Path) -> None:
    assert paths_of(photos) == ["B.jpg", "a.PNG", "b.jpg", "sub/c.jpeg", "sub/deep/d.webp"]
    assert Source(str(photos)).count() == 5
    assert Source(str(photos)).folder == str(photos)


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*", ["B.jpg", "a.PNG", "b.jpg"]),
        ("[ab].*", ["a.PNG", "b.jpg"]),
        ("*/*.jpeg", ["sub/c.jpeg"]),
        ("**/*.webp", ["sub/deep/d.webp"]),
        ("**/deep/*", ["sub/deep/d.webp"]),
        (".*", [".hidden.jpg"]),
    ],
)
def test_a_glob_gives_what_it_matches(photos: Path, pattern: str, paths: list[str]) -> None:
    assert paths_of(photos / pattern) == paths


def test_a_name_with_wildcards_that_is_there_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "list[1].csv").write_text("image_path\na.jpg\n")
    assert paths_of(tmp_path / "list[1].csv") == ["a.jpg"]


@pytest.mark.parametrize("name", ["", "*.jpg"])
def test_a_folder_without_photos_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    sentence = "holds no images" if name else r"holds no images \(left out 1 file: 1 \.txt\)"
    with pytest.raises(TableError, match=sentence):
        Source(str(tmp_path / name))


def test_a_photo_is_told_by_its_first_bytes_whatever_its_name(tmp_path: Path) -> None:
    for name in ("photo.dat", "photo", "IMG.0001"):
        (tmp_path / name).write_bytes(JPEG)
    (tmp_path / "text.dat").write_text("BM: a text that begins like a BMP")
    (tmp_path / "text.jpg").write_text("a text")
    assert paths_of(tmp_path) == ["IMG.0001", "photo", "photo.dat", "text.jpg"], "text.jpg fails as a row"
    assert paths_of(tmp_path / "*.dat") == ["photo.dat"]


def test_every_kind_that_decode_reads_begins_like_a_photo() -> None:
    samples = make_samples()
    assert [name for name, content in samples.items() if not begins_like_a_photo(content[:18])] == []


def test_what_is_left_out_is_counted_by_its_suffix(photos: Path) -> None:
    for name in ("a.TXT", "a.xmp", "raw.cr2", "sub/noise", "sub/b.txt"):
        (photos / name).write_bytes(b"II*\0" if name == "raw.cr2" else b"noise")
    assert left_out(photos) == "left out 6 files: 3 .txt, 1 without suffix, 1 .cr2, 1 .xmp"
    assert left_out(photos / "*.*") == "left out 4 files: 2 .txt, 1 .cr2, 1 .xmp"
    for number in range(4):
        (photos / f"a.kind{number}").touch()
    assert left_out(photos).endswith("1 .cr2, 1 .kind0, 1 .kind1, 3 others")
    assert left_out(photos / "*.jpg") == ""


def test_a_broken_link_is_one_failed_row(photos: Path) -> None:
    (photos / "gone").symlink_to("nowhere.jpg")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(photos / "pipe")
    paths = paths_of(photos)
    assert paths == ["B.jpg", "a.PNG", "b.jpg", "gone", "loop.jpg", "sub/c.jpeg", "sub/deep/d.webp"]
    for path, sentence in (("gone", "there is no file"), ("loop.jpg", "Too many levels of symbolic links")):
        with pytest.raises(RowError, match=sentence):
            read_image(path, photos)
