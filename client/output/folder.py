"""The folder of a run: its locks, its settings, and its journals.

Settings are what a row's files depend on. A folder keeps those of its first run, so that no dataset mixes two settings
unnoticed.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from client.errors import TableError
from client.input.row import WHOLE, Row, Shard
from client.output.files import check_writable, write_whole
from client.output.journal import DONE, JOURNALS, NETWORKS, SETTINGS, VERSION, Journal, Past, read_journals
from client.output.locks import ALONE, SHARED, locked
from client.output.pieces import PIECES, none_is_gone, pack_pieces, packed_files
from client.output.records import Records
from client.output.settings import SettingsChangedError, read_settings, settings_json
from client.output.store.destination import Destination
from client.output.store.entries import EntryJournal

UNFINISHED = ".unfinished"  # the folder of a cluster's unfinished files; no split can have such a name


class RunFolder:
    """`<output>/<stem>`: the files of a run, and `journal/` with its state.

    Attributes:
        table: the output CSV.
        failures: the list of failed rows. Each shard of an input has its own of both.
        store: where the files go when they are finished, if not into this folder.
        unfinished: where a client of a cluster has its files until they are whole. Without it the client can write
            none, so one that is lost, and maybe still runs, does not disturb the one that does its rows again.
    """

    unfinished: Path | None = None

    def __init__(self, path: Path, shard: Shard = WHOLE, store: Destination | None = None) -> None:
        self.path, self.shard, self.store = path, shard, store
        self.journals = path / JOURNALS
        part = f".{shard.number}of{shard.count}" if shard.count > 1 else ""
        self.table = path.with_name(f"{path.name}{part}.csv")
        self.failures = path / f"failed{part}.csv"
        self._networks: Any = None
        self._lock = threading.Lock()

    def shown(self, path: Path) -> Path | str:
        """Where a file of the run, or its folder, is when the run has ended: a path, or a URL."""
        return self.store.url_of(path) if self.store else path

    @contextmanager
    def claimed(self, shard: Shard | None = None) -> Iterator[None]:
        """Lock the rows of `shard` (default: the folder's) against other runs until the block ends.

        What is in a store is here then; between machines nothing is locked. Raises TableError if another run has one of
        them, or if the folder cannot be written.
        """
        shard = shard or self.shard
        with ExitStack() as stack:
            try:
                self.journals.mkdir(parents=True, exist_ok=True)
                own = self._own_lock(shard)
                stack.enter_context(locked(own, ALONE, wait=False))
                for path in self.journals.glob("*.lock"):
                    if path != own and _overlap(shard, path.stem):
                        with locked(path, SHARED, wait=False):
                            pass
                for table in (self.table, self.failures):
                    _try_to_write(table)
            except BlockingIOError:
                raise TableError(
                    f"another run is writing into {self.shown(self.path)}; wait for it, or choose another folder with "
                    "--output"
                ) from None
            except OSError as error:
                raise self._unwritable(error) from error
            if self.store:
                self.store.fetch(f"{self.shard.number}of{self.shard.count}")
            yield

    def check_writable(self) -> None:
        """Raise TableError where `claimed` would find that the folder cannot be written; writes nothing.

        What is in a store is here then, but for what another run of this machine is writing.
        """
        if self.store:
            self.journals.mkdir(parents=True, exist_ok=True)
            with suppress(BlockingIOError), locked(self._own_lock(), ALONE, wait=False):
                self.store.fetch(None)
            return
        try:
            for file in (self.journals / "lock", _unfinished(self.table), _unfinished(self.failures)):
                check_writable(file)
            for table in (self.table, self.failures):
                _refuse_folder(table)
        except OSError as error:
            raise self._unwritable(error) from error

    def _own_lock(self, shard: Shard | None = None) -> Path:
        shard = shard or self.shard
        return self.journals / f"{shard.number}of{shard.count}.lock"

    def _unwritable(self, error: OSError) -> TableError:
        problem = f"{error.filename or self.journals} cannot be written ({error.strerror})"
        return TableError(f"{problem}; choose another folder with {'--work' if self.store else '--output'}")

    def compare(self, settings: Mapping[str, Any], networks: Any = None, *, anyway: bool) -> None:
        """Compare settings, and networks where they are known, with those of the folder.

        Raises SettingsChangedError unless `anyway`, TableError if the journal is an older version's.
        """
        self._refuse_older()
        if anyway or not any(self.journals.glob("*.rows")):
            return
        kept, known = read_settings(self.journals / SETTINGS), read_settings(self.journals / NETWORKS)
        if kept != settings:
            raise SettingsChangedError(self.shown(self.path), kept or {}, settings)
        if networks is not None and known not in (None, networks):
            raise SettingsChangedError(self.shown(self.path), {"networks": known}, {"networks": networks})

    def agree(self, settings: Mapping[str, Any], *, anyway: bool) -> None:
        """Compare `settings` with those of the folder, and store them.

        Raises SettingsChangedError unless `anyway`, TableError if the journal is an older version's.
        """
        self.compare(settings, anyway=anyway)
        path = self.journals / SETTINGS
        if read_settings(path) != settings:
            write_whole(path, settings_json(settings))
            self._upload(path)
        if anyway:
            (self.journals / NETWORKS).unlink(missing_ok=True)
            self._upload(self.journals / NETWORKS)

    def agree_on_networks(self, networks: Any) -> None:
        """Compare an answer's networks with the first answer's. Thread-safe. Raises SettingsChangedError."""
        if networks == self._networks:
            return
        with self._lock:
            self._networks = kept = self._first_networks(networks)
        if networks != kept:
            raise SettingsChangedError(self.shown(self.path), {"networks": kept}, {"networks": networks})

    def _first_networks(self, networks: Any) -> Any:
        """The networks of the first answer; if this is the first, store them. Processes may race."""
        path = self.journals / NETWORKS
        if (kept := read_settings(path)) is not None:
            return kept
        candidate = path.with_name(f".{path.name}.{os.getpid()}")
        candidate.write_bytes(settings_json(networks))
        if self.store:
            self.store.upload_first(candidate, path)
        try:
            path.hardlink_to(candidate)
        except FileExistsError:
            return read_settings(path)
        except OSError:  # the disk has no hard links
            candidate.replace(path)
        finally:
            candidate.unlink(missing_ok=True)
        return read_settings(path)

    def forget(self) -> None:
        """Start again: no row counts as done; separate files stay until they are replaced."""
        if self.store:
            self.store.forget()
        for path in self.journals.iterdir():
            if path.suffix != ".lock":
                path.unlink()
        shutil.rmtree(self.path / PIECES, ignore_errors=True)
        for file in (*packed_files(self.path), *self.path.glob("metadata.jsonl"), *self.path.glob("*/metadata.jsonl")):
            file.unlink()

    def networks(self) -> Any:
        """What the server reported of its networks in the first answer, by stage."""
        return read_settings(self.journals / NETWORKS) or {}

    def past(self, *, marks: bool = False) -> Past:
        """The results of all runs so far, with the `marks` of photos if they are asked for.

        Raises OSError, or TableError if an older version wrote them.
        """
        self._refuse_older()
        return read_journals(self.journals, marks=marks)

    def _refuse_older(self) -> None:
        kept = read_settings(self.journals / SETTINGS)
        if kept is not None and kept.get("journal") != VERSION and any(self.journals.glob("*.rows")):
            raise TableError(
                f"the files in {self.shown(self.path)} were made by another version, whose journal this one does not "
                "read; choose another --output, or do every row again with --restart"
            )

    def next_session(self) -> int:
        """A number above those of all journals."""
        return 1 + max((int(path.name.split(".")[0]) for path in self.journals.glob("*.rows")), default=0)

    def journal(self, session: int, client: int | None = None) -> Journal | EntryJournal:
        """A new journal for one process, in a cluster that of a client; the driver's sorts after it. Raises OSError."""
        part = "" if client is None else f".{client:06d}"
        name = f"{session:06d}.{self.shard.number}of{self.shard.count}{part}"
        return (
            EntryJournal(self.path, name, self.shard.block) if self.store else Journal(self.journals / f"{name}.rows")
        )

    def pack(self, records: Records, number: int, is_gone: Callable[[int], bool] = none_is_gone) -> None:
        """Pack a number as `pack_pieces` does, and upload it if it belongs into a store. Raises OSError."""
        around = self.store.published(records, number) if self.store else None
        pack_pieces(self.path, records, number, is_gone, around)

    def publish(self, records: Records, rows: Collection[int]) -> None:
        """Pack and upload what is left of the rows with these numbers; the store has all of it then. Raises OSError."""
        if self.store:
            for number in sorted({row // self.shard.block for row in rows} & {*self.store.unpublished()}):
                self.pack(records, number)

    def published(self, rows: Sequence[Row]) -> set[int]:
        """The numbers of those rows that are done in the store, whoever did them. Raises OSError."""
        if self.store:
            for number in {row.number // self.shard.block for row in rows}:
                self.store.learn(number)
        state = self.past().finder()
        return {row.number for row in rows if state(row.identity) == DONE}

    def close(self, *files: Path) -> None:
        """Upload the tables and `files`, if they belong into a store. Raises OSError."""
        self._upload(self.table, self.failures, *files)

    def _upload(self, *files: Path) -> None:
        if self.store:
            self.store.upload(*files)

    def begin_client(self, session: int, client: int) -> Journal | EntryJournal:
        """The journal and the place for unfinished files of a client in a cluster. Raises OSError."""
        self.journals.mkdir(parents=True, exist_ok=True)
        journal = self.journal(session, client)
        self.unfinished = self._unfinished_of(client)
        self.unfinished.mkdir(parents=True)
        return journal

    def end_client(self, client: int | None = None) -> None:
        """Keep a client, by default all of this shard, from writing any further file."""
        shutil.rmtree(self._unfinished_of(client), ignore_errors=True)
        with suppress(OSError):  # there are others
            (self.path / UNFINISHED).rmdir()

    def _unfinished_of(self, client: int | None) -> Path:
        folder = self.path / UNFINISHED / f"{self.shard.number}of{self.shard.count}"
        return folder if client is None else folder / f"{client:06d}"


def _try_to_write(table: Path) -> None:
    """Raise OSError where a table, which is written last, could not be written."""
    _refuse_folder(table)
    attempt = _unfinished(table)
    attempt.write_bytes(b"")
    attempt.unlink()


def _unfinished(table: Path) -> Path:
    """A file that is there while a table is tried."""
    return table.with_name(f".{table.name}.try")


def _refuse_folder(table: Path) -> None:
    if table.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(table))


def _overlap(shard: Shard, name: str) -> bool:
    """Whether a shard has a row in common with the one that `name`, such as `2of4`, stands for."""
    number, count = map(int, name.split("of"))
    return (shard.number - number) % math.gcd(shard.count, count) == 0
