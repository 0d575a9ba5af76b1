"""Reads the photo of a row, from a disk or a URL."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from client.errors import PassingError, RowError, shown
from client.input.remote import LARGEST, TIMEOUT_SECONDS, is_remote, read_remote


def is_on_web(image_path: str, folder: str | os.PathLike[str]) -> bool:
    """Whether `read_image` asks a URL first."""
    return is_remote(image_path.strip()) or (is_remote(os.fspath(folder)) and not Path(image_path).is_absolute())


def read_image(image_path: str, folder: str | os.PathLike[str], timeout: float = TIMEOUT_SECONDS) -> bytes:
    """Return the photo's bytes, unchanged. Blocks, for at most `timeout` seconds where the photo has a URL.

    A relative path is looked up in `folder` (a path or URL), then in the current directory. Blanks around it are kept
    if such a file exists, else dropped. Raises RowError if the photo is missing, unreadable or empty, PassingError if
    it has a URL that may answer later.
    """
    return _first(image_path, folder, lambda url: read_remote(url, timeout), _read_file)


def check_image(image_path: str, folder: str | os.PathLike[str]) -> None:
    """Raise RowError if `read_image` would, reading only one byte; URLs are not checked."""
    _first(image_path, folder, lambda url: b"?", lambda path: _read_file(path, 1))


def _first(
    image_path: str, folder: str | os.PathLike[str], read_url: Callable[[str], bytes], read_file: Callable[[str], bytes]
) -> bytes:
    places = _places(image_path, os.fspath(folder))
    for place in places:
        try:
            image = read_url(place) if is_remote(place) else read_file(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except IsADirectoryError:
            raise RowError(f"{shown(place)} is a folder; image_path must name a file") from None
        except (OSError, ValueError, ImportError) as error:  # ValueError: a character no path can hold
            reason = getattr(error, "strerror", None) or error
            kind = PassingError if is_remote(place) else RowError
            raise kind(f"the file {shown(place)} cannot be read ({reason})") from error
        if not image:
            raise RowError(f"the file {shown(place)} is empty; copy the photo again")
        return image
    tried = " nor ".join(shown(place) for place in places)
    raise RowError(f"there is no file {tried}; correct image_path or put the photo there")


def _places(image_path: str, folder: str) -> list[str]:
    """The paths to try, in order."""
    spellings = dict.fromkeys((image_path, image_path.strip()))
    if is_remote(image_path.strip()):
        return [image_path.strip()]
    places = []
    for path in spellings:
        # An absolute path replaces what it is joined to.
        remote = is_remote(folder) and not Path(path).is_absolute()
        places += [f"{folder}/{path}" if remote else str(Path(folder, path)), str(Path.cwd() / path)]
    return list(dict.fromkeys(places))


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
