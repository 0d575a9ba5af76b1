"""Reads the photo of a row, from a disk or a URL."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from client.errors import PassingError, RowError, shown
from client.input.remote import LARGEST, TIMEOUT_SECONDS, is_remote, read_remote

UNKNOWN_SIZE = -1  # of a photo with a URL
_Found = TypeVar("_Found", bytes, int)
_DRIVE = re.compile(r"\s*[A-Za-z]:[\\/]")


def is_on_web(image_path: str, folder: str | os.PathLike[str]) -> bool:
    """Whether `read_image` asks a URL first."""
    return is_remote(image_path.strip()) or (is_remote(os.fspath(folder)) and not Path(image_path).is_absolute())


def read_image(
    image_path: str, folder: str | os.PathLike[str], timeout: float = TIMEOUT_SECONDS, column: str = "image_path"
) -> bytes:
    """Return the photo's bytes, unchanged. Blocks, for at most `timeout` seconds where the photo has a URL.

    A relative path is looked up in `folder` (a path or URL), then in the current directory. Blanks around it are kept
    if such a file exists, else dropped. If there is no file, the path is tried with slashes for backslashes, in the
    other Unicode forms, and in Latin-1. Raises RowError if the photo is missing, unreadable or empty, PassingError if
    it has a URL that may answer later; the message names the `column` that the path is from.
    """
    return _first(image_path, folder, lambda url: read_remote(url, timeout), _read_file, column)


def check_image(image_path: str, folder: str | os.PathLike[str]) -> None:
    """Raise RowError if `read_image` would, reading only one byte; URLs are not checked."""
    _first(image_path, folder, lambda url: b"?", lambda path: _read_file(path, 1))


def photo_size(image_path: str, folder: str | os.PathLike[str]) -> int:
    """The bytes of the photo's file, UNKNOWN_SIZE where it has a URL. Raises RowError if there is no such file."""
    return _first(image_path, folder, lambda url: UNKNOWN_SIZE, lambda path: Path(path).stat().st_size)


def _first(
    image_path: str,
    folder: str | os.PathLike[str],
    read_url: Callable[[str], _Found],
    read_file: Callable[[str], _Found],
    column: str = "image_path",
) -> _Found:
    for place in _places(image_path, os.fspath(folder)):
        try:
            image = read_url(place) if is_remote(place) else read_file(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except IsADirectoryError:
            raise RowError(f"{shown(place)} is a folder; {column} must name a file") from None
        except (OSError, ValueError, ImportError) as error:  # ValueError: a character no path can hold
            reason = getattr(error, "strerror", None) or error
            kind = PassingError if is_remote(place) else RowError
            raise kind(f"the file {shown(place)} cannot be read ({reason})") from error
        if not image:
            raise RowError(f"the file {shown(place)} is empty; copy the photo again")
        return image
    tried = " nor ".join(map(shown, dict.fromkeys(_places_of((image_path,), os.fspath(folder)))))
    if _DRIVE.match(image_path):
        raise RowError(f"there is no file {tried}; {column} names a drive of Windows: write its path here")
    raise RowError(f"there is no file {tried}; correct {column} or put the photo there")


def _places(image_path: str, folder: str) -> Iterator[str]:
    """The paths to try, in order: as written, then in other spellings."""
    yield from _places_of((image_path,), folder)
    if not is_remote(image_path) and (not image_path.isascii() or "\\" in image_path):
        yield from _places_of(_spellings(image_path), folder)


def _places_of(paths: Iterable[str], folder: str) -> Iterator[str]:
    """In the table's folder, and only if nothing is there, in the current one, which costs the kernel a question."""
    for path in dict.fromkeys(spelling for written in paths for spelling in _trimmed(written)):
        if is_remote(path):
            yield path
            continue
        # An absolute path replaces what it is joined to.
        remote = is_remote(folder) and not Path(path).is_absolute()
        yield f"{folder}/{path}" if remote else str(Path(folder, path))
        yield str(Path.cwd() / path)


def _trimmed(path: str) -> tuple[str, ...]:
    """A path as written, then without spaces around it, which a URL never has."""
    return (path.strip(),) if is_remote(path.strip()) else (path, path.strip())


def _spellings(path: str) -> Iterator[str]:
    """How another system may have spelled a path: backslashes, composed or decomposed letters, names in Latin-1."""
    for slashed in dict.fromkeys((path, path.replace("\\", "/"))):
        name = os.fsencode(slashed)
        is_utf8 = slashed == name.decode("utf-8", "replace")
        letters = slashed if is_utf8 else name.decode("latin-1")
        for form in ("NFC", "NFD"):
            yield unicodedata.normalize(form, letters)
        with contextlib.suppress(UnicodeEncodeError):
            yield os.fsdecode(unicodedata.normalize("NFC", letters).encode("latin-1"))


def _read_file(path: str, size: int = -1) -> bytes:
    # Non-blocking, because opening a named pipe would otherwise wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(status.st_mode):
            raise RowError(f"{shown(path)} is a device or a pipe; image_path must name a file")
        if status.st_size > LARGEST:
            raise RowError(f"the file {shown(path)} is larger than 2 GB; make the photo smaller")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read(size)
    finally:
        os.close(descriptor)
