"""Where the dataset of a run is in a store, and the folder in which its files are made.

The store has the truth: at the start the folder is made what the store's journal says. A packed file is uploaded when
it is finished, then the entry of its rows, and then the file here goes: the disk holds what is in flight. Stores have
no locks, so each machine has a folder of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from client.errors import TableError
from client.output.counts import Counts
from client.output.journal import JOURNALS, NETWORKS, SETTINGS
from client.output.pieces import packed_files, packed_records
from client.output.records import Records
from client.output.store.entries import (
    SUFFIX,
    Entry,
    decoded,
    drop_entry,
    entry_numbers,
    keep_entry,
    made_entry,
    read_entry,
    take_entry,
    unsaid_numbers,
)
from client.output.store.objects import Objects

_SESSION = ".session"
_PACKED = re.compile(r"(?:[^/]+/)?\d+\.(?:tar|parquet)")


class Destination:
    """`<output>/<stem>` in a store. Thread-safe. Methods raise OSError, with the URL, if the store fails for long."""

    def __init__(self, url: str, folder: Path, retry_seconds: float) -> None:
        """`folder` is the run's folder here, for `retry_seconds` a call is tried again."""
        self.url, self._folder = url.rstrip("/"), folder
        base, _, self._name = self.url.rpartition("/")
        self._objects, self._first = Objects(base, retry_seconds), Objects(base, 0.0)  # a wrong address is told at once
        self._journals = folder / JOURNALS

    def url_of(self, path: Path) -> str:
        """The URL of a file in the run's folder, or of a table beside it."""
        return f"{self._objects.url}/{self._object(path)}"

    def fetch(self, session: str | None) -> None:
        """Make the folder what the store says. `session` names the rows that a run begins with, as `1of1` does.

        What the folder has besides, because a run was killed, is kept if no other one has begun since. Raises
        TableError, a sentence, if the store cannot be used.
        """
        try:
            found = self._first.tags(self._name)
            names = {name for name in found if name.endswith(_SESSION)}
            sessions = {Path(name).name: content for name, content in self._first.read(names)}
            known = {path.name: path.read_bytes() for path in self._journals.glob(f"*{_SESSION}")}
            if sessions != known or not self._has_all(found):
                self._clear()
                for name, content in sessions.items():
                    (self._journals / name).write_bytes(content)
            self._take(found, self._first)
            if session is not None:
                own, number = self._journals / f"{session}{_SESSION}", uuid.uuid4().hex.encode()
                self._first.put(number, self._object(own))
                own.write_bytes(number)
        except ImportError as error:
            raise TableError(str(error)) from error
        except OSError as error:
            if error.filename is None or "://" not in str(error.filename):
                raise
            raise TableError(f"{error.filename} cannot be used ({error.strerror}); {_remedy(error)}") from error

    def refresh(self) -> None:
        """Learn what other machines have written since; what is not uploaded yet stays."""
        self._take(self._objects.tags(self._name), self._objects)

    @contextmanager
    def published(self, records: Records, number: int) -> Iterator[None]:
        """Around the packing of a number: its files are here before, and in the store, with their entry, after it.

        It may be another machine's files to which rows are added, as long as two do not do so at the same time.
        """
        self.learn(number)
        before = read_entry(self._journals, number).files
        for place in before:
            if not (file := self._folder / place).exists():
                file.parent.mkdir(exist_ok=True)
                self._objects.get(self._named(place), file)
        yield
        files = [path for path in packed_files(self._folder) if int(path.stem) == number]
        counts = Counts(records)
        counts.add(packed_records(files, records.plan))
        places = {file.relative_to(self._folder).as_posix(): file for file in files}
        tags = {place: self._objects.put(file, self._named(place)) for place, file in places.items()}
        entry = made_entry(self._journals, number, tags, counts.as_json())
        self._objects.put(entry.encoded(), self._entry_of(number))
        self._objects.remove(self._named(place) for place in before if place not in tags)
        keep_entry(self._journals, number, entry)
        for file in files:
            file.unlink()

    def learn(self, number: int) -> None:
        """Learn what another machine may have written of one number."""
        with suppress(FileNotFoundError):
            for _, content in self._objects.read([self._entry_of(number)]):
                entry = decoded(content)
                if self._is_there(entry, {one: self._objects.tag(one) for one in map(self._named, entry.files)}):
                    take_entry(self._journals, number, entry)

    def unpublished(self) -> list[int]:
        """The numbers whose rows have results that are not in the store."""
        return unsaid_numbers(self._journals)

    def packed_numbers(self) -> list[int]:
        """The numbers that have files in the store."""
        return [number for number in entry_numbers(self._journals) if read_entry(self._journals, number).files]

    def count(self, counts: Counts) -> None:
        """Add what all pictures in the store are like."""
        for number in entry_numbers(self._journals):
            counts.merge(read_entry(self._journals, number).counts)

    def upload(self, *files: Path) -> None:
        """Upload small files, or remove them there if they are not here."""
        for file in files:
            if file.exists():
                self._objects.put(file, self._object(file))
            else:
                self._objects.remove([self._object(file)])

    def upload_first(self, content: Path, file: Path) -> None:
        """Upload `content` as `file` unless the store has that, and else make it what the store has."""
        if not self._objects.put_new(content.read_bytes(), self._object(file)):
            self._objects.get(self._object(file), content)

    def forget(self) -> None:
        """Remove what tells of rows that are done, then their files."""
        found = self._objects.tags(self._name)
        journals = [name for name in found if f"/{JOURNALS}/" in name and not name.endswith(_SESSION)]
        self._objects.remove(journals)
        self._objects.remove(self._packed(found))

    def sweep(self) -> None:
        """Remove packed files of which no entry speaks, as a run leaves them that is killed and then changed."""
        self.refresh()
        entries = (read_entry(self._journals, number) for number in entry_numbers(self._journals))
        known = {self._named(place) for entry in entries for place in entry.files}
        self._objects.remove({*self._packed(self._objects.tags(self._name))} - known)

    def _take(self, found: Mapping[str, str], objects: Objects) -> None:
        """Take settings and entries of the objects that were found, each entry if its files are there as it says."""
        for file in (self._journals / name for name in (SETTINGS, NETWORKS)):
            if self._object(file) in found:
                objects.get(self._object(file), file)
            else:
                file.unlink(missing_ok=True)
        mine = set(self.unpublished())
        entries = {name: int(Path(name).stem) for name in found if name.endswith(SUFFIX)}
        for number in {*entry_numbers(self._journals)} - {*entries.values()} - mine:
            drop_entry(self._journals, number)
        for name, content in objects.read(name for name, number in entries.items() if number not in mine):
            if self._is_there(entry := decoded(content), found):
                keep_entry(self._journals, entries[name], entry)
            else:
                drop_entry(self._journals, entries[name])
        for file in packed_files(self._folder):
            if int(file.stem) not in mine:
                file.unlink()

    def _is_there(self, entry: Entry, found: Mapping[str, str]) -> bool:
        return all(found.get(self._named(place)) == tag for place, tag in entry.files.items())

    def _has_all(self, found: Mapping[str, str]) -> bool:
        """Whether the files to which unpublished rows belong are here or in the store."""
        for number in self.unpublished():
            entry = read_entry(self._journals, number)
            here = all((self._folder / place).exists() for place in entry.files)
            if not here and not self._is_there(entry, found):
                return False
        return True

    def _clear(self) -> None:
        """Remove all from the folder but its locks."""
        for path in (*self._folder.iterdir(), *self._journals.iterdir()):
            if path.is_dir() and path != self._journals:
                shutil.rmtree(path)
            elif path.is_file() and path.suffix != ".lock":
                path.unlink()

    def _entry_of(self, number: int) -> str:
        """The name of a number's entry."""
        return self._object(self._journals / f"{number:05d}{SUFFIX}")

    def _named(self, place: str) -> str:
        """The name of a packed file's object; `place` is its path in the run's folder."""
        return f"{self._name}/{place}"

    def _object(self, path: Path) -> str:
        return path.relative_to(self._folder.parent).as_posix()

    def _packed(self, found: Iterable[str]) -> list[str]:
        return [name for name in found if _PACKED.fullmatch(name.removeprefix(f"{self._name}/"))]


def working_folder(chosen: Path | None, url: str, shard: str) -> Path:
    """The folder on this machine for the rows of a shard that go to a URL, in the one that was `chosen`, if any."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "relight-triton"
    return (chosen or cache) / sha256(f"{url} {shard}".encode()).hexdigest()[:16]


def _remedy(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "make the bucket first, or correct --output"
    if isinstance(error, PermissionError):
        return "give credentials that may list, read, write and delete there, such as AWS_PROFILE or those of gcloud"
    return "correct --output, or AWS_ENDPOINT_URL for a store that is not Amazon's"
