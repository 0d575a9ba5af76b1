"""The objects below a URL (s3://, gs://, …), written and read whole through fsspec, with retries."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from client.input.remote import file_system, reason_of

# Where an object appears at once and whole; in other file systems it gets its name when it is.
_WHOLE = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "memory")
_TAGS = ("ETag", "md5Hash", "etag")  # what a store calls the digest of an object
_FINAL = (FileNotFoundError, FileExistsError, ImportError, ValueError, TypeError)
_BACK_OFF_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 30.0
_READ_AT_ONCE, _REMOVED_AT_ONCE = 256, 16
_PART_BYTES = 2**24  # of a file that s3fs uploads, which has ten of them in memory
_DENIED = (401, 403)  # HTTP's statuses
T = TypeVar("T")


class Objects:
    """The objects below a URL by their names, which have slashes. Thread-safe.

    All methods block, and raise OSError with a reason and the URL: FileNotFoundError, PermissionError, or another one
    when `retry_seconds` have not cured a fault. ImportError: the extra `remote` is not installed.
    """

    def __init__(self, url: str, retry_seconds: float) -> None:
        """Nothing is asked yet; `retry_seconds` counts from the second try of each call."""
        self.url, self._retry_seconds = url.rstrip("/"), retry_seconds
        self._found: tuple[Any, str] | None = None

    def tags(self, below: str) -> dict[str, str]:
        """What tells the content of each object below a name, by their names."""

        def listed() -> dict[str, str]:
            system, root = self._system()
            found = system.find(f"{root}/{below}", detail=True)
            return {name.removeprefix(f"{root}/"): _tag(info) for name, info in found.items()}

        return self._patiently(listed, below)

    def tag(self, name: str) -> str:
        """What tells the content of an object."""

        def told() -> str:
            system, root = self._system()
            system.invalidate_cache()
            return _tag(system.info(f"{root}/{name}"))

        return self._patiently(told, name)

    def put(self, content: Path | bytes, name: str) -> str:
        """Upload a file, or bytes, whole, over what is there; return its tag."""

        def uploaded() -> None:
            system, root = self._system()
            place = f"{root}/{name}"
            if _protocol(system) in _WHOLE:
                _upload(system, content, place)
            else:
                folder, last = _make_folder(system, place)
                _upload(system, content, f"{folder}/.{last}.tmp")
                system.mv(f"{folder}/.{last}.tmp", place)

        self._patiently(uploaded, name)
        return self.tag(name)

    def put_new(self, content: bytes, name: str) -> bool:
        """Upload bytes where nothing has this name yet; return whether it had not, as far as the store tells."""

        def uploaded() -> bool:
            system, root = self._system()
            place = f"{root}/{name}"
            if _protocol(system) not in _WHOLE:
                _make_folder(system, place)
            try:
                system.pipe_file(place, content, mode="create")
            except FileExistsError:
                return False
            return True

        return self._patiently(uploaded, name)

    def get(self, name: str, file: Path) -> None:
        """Download an object into a file, which appears when it is whole."""

        def downloaded() -> None:
            system, root = self._system()
            unfinished = file.with_name(f".{file.name}.tmp")
            system.get_file(f"{root}/{name}", str(unfinished))
            unfinished.replace(file)

        self._patiently(downloaded, name)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The contents of small objects, many at a time, with their names."""
        left = sorted(names)
        while left:
            some, left = left[:_READ_AT_ONCE], left[_READ_AT_ONCE:]
            contents = self._patiently(lambda some=some: self._contents(some), some[0])  # type: ignore[misc]
            yield from zip(some, contents, strict=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        system, root = self._system()

        def removed(name: str) -> None:
            with suppress(FileNotFoundError):
                self._patiently(lambda: system.rm_file(f"{root}/{name}"), name)

        with ThreadPoolExecutor(_REMOVED_AT_ONCE) as threads:
            list(threads.map(removed, names))

    def _contents(self, names: list[str]) -> list[bytes]:
        system, root = self._system()
        places = [f"{root}/{name}" for name in names]  # `cat` would take [1] in a name for a pattern
        contents: list[bytes] = system.cat_ranges(places, None, None, on_error="raise")
        return contents

    def _system(self) -> tuple[Any, str]:
        if self._found is None:
            system, root = file_system(self.url, use_listings_cache=False)
            self._found = system, root.rstrip("/")
        return self._found

    def _patiently(self, work: Callable[[], T], name: str) -> T:
        """Call `work` until it does its work, `retry_seconds` is over, or its fault is one that no retry cures."""
        end = time.monotonic() + self._retry_seconds
        for attempt in count():
            try:
                return work()
            except Exception as error:  # each store has errors of its own
                pause = min(_LONGEST_PAUSE_SECONDS, _BACK_OFF_SECONDS * 2**attempt) * random.uniform(0.5, 1.0)
                if _is_final(error) or time.monotonic() + pause > end:
                    raise self._said(error, name) from error
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _said(self, error: Exception, name: str) -> Exception:
        if isinstance(error, ImportError):
            return error
        url = f"{self.url}/{name}".rstrip("/")
        kinds = ((FileNotFoundError, errno.ENOENT), (FileExistsError, errno.EEXIST))
        number = errno.EACCES if _is_denied(error) else errno.EIO
        number = next((number for kind, number in kinds if isinstance(error, kind)), number)
        return OSError(number, getattr(error, "strerror", None) or reason_of(error, url), url)


def _is_final(error: Exception) -> bool:
    return isinstance(error, _FINAL) or _is_denied(error) or getattr(error, "errno", None) == errno.EINVAL


def _is_denied(error: Exception) -> bool:
    """Whether credentials are missing or do not suffice; of botocore's and Google's errors only some are OSErrors."""
    is_named = "Credentials" in type(error).__name__
    return is_named or isinstance(error, PermissionError) or getattr(error, "code", None) in _DENIED


def _upload(system: Any, content: Path | bytes, place: str) -> None:
    if isinstance(content, bytes):
        system.pipe_file(place, content)
    else:
        parts = {"chunksize": _PART_BYTES} if _protocol(system) in ("s3", "s3a") else {}
        system.put_file(str(content), place, **parts)


def _make_folder(system: Any, place: str) -> tuple[str, str]:
    """Make the folder of a place, which in a store would be a bucket; return it, and the name in it."""
    folder, _, last = place.rpartition("/")
    system.makedirs(folder, exist_ok=True)
    return folder, last


def _protocol(system: Any) -> str:
    return str(system.protocol if isinstance(system.protocol, str) else system.protocol[0])


def _tag(info: dict[str, Any]) -> str:
    tag = next((str(info[name]).strip('"') for name in _TAGS if info.get(name)), "")
    return f"{info['size']} {tag}".strip()
