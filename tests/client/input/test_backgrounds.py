"""Promises of the backgrounds: a kind, or a folder of pictures of which each photo has its own by its seed."""

from pathlib import Path

import pytest

from client.errors import RowError
from client.input.backgrounds import Background, Backgrounds, parse_backgrounds, read_background

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def walls(tmp_path: Path) -> Path:
    """A folder with three pictures, one of them in a folder below, and a text."""
    folder = tmp_path / "walls"
    (folder / "red").mkdir(parents=True)
    for name in ("a.png", "b.png", "red/c.png"):
        (folder / name).write_bytes(PNG + name.encode())
    (folder / "notes.txt").write_text("none")
    return folder


@pytest.mark.parametrize("kind", ["gray", "photo", "relit"])
def test_a_kind_is_the_same_for_every_photo(kind: str) -> None:
    assert parse_backgrounds(kind).choose("00ff") == Background(kind, None, b"")
    assert parse_backgrounds(kind).settings() == {"background": kind, "backdrops": []}
    assert read_background(kind, "nowhere", 1.0) == Background(kind)


def test_each_photo_has_a_picture_of_the_folder_by_its_seed(walls: Path) -> None:
    backgrounds = parse_backgrounds(str(walls))
    assert backgrounds.settings() == {"background": "picture", "backdrops": ["a.png", "b.png", "red/c.png"]}
    chosen = {seed: backgrounds.choose(f"{seed:016x}") for seed in range(40)}
    assert {one.name for one in chosen.values()} == {"a.png", "b.png", "red/c.png"}
    for seed, one in chosen.items():
        assert one == Background("picture", one.name, PNG + str(one.name).encode())
        assert one == parse_backgrounds(str(walls)).choose(f"{seed:016x}")


def test_a_row_names_a_picture_of_its_own(walls: Path) -> None:
    assert read_background("red/c.png", str(walls), 1.0) == Background("picture", "red/c.png", PNG + b"red/c.png")


def test_what_cannot_be_read_is_said_in_a_sentence(walls: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no background 'grey': choose gray, photo, relit, or a folder of"):
        parse_backgrounds("grey")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"the folder of backgrounds .*empty holds no pictures"):
        parse_backgrounds(str(tmp_path / "empty"))
    with pytest.raises(RowError, match=r"there is no file .*none\.png.*; correct background or put the photo there"):
        read_background("none.png", str(walls), 1.0)
    (walls / "a.png").unlink()
    with pytest.raises(RowError, match=r"there is no file .*a\.png.*; correct --background"):
        Backgrounds("picture", str(walls), ("a.png",)).choose("0")
