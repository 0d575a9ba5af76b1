"""Removes the files of rows that are no longer in the table, in a run's folder or its packed files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from client.output.folder import RunFolder
from client.output.journal import JOURNALS
from client.output.pieces import packed_files
from client.output.records import Records
from contract.names import PICTURES

# A name that this client gives, and no other file in the folder: number, id, kind, light.
_OUR_NAME = re.compile(rf"(\d{{5,}})_(?:.*_)?(?:{'|'.join((*PICTURES, 'metadata'))})(?:_\d+)?(?:\.[A-Za-z0-9]+)?")


def prune(folder: RunFolder, records: Records, gone: Iterable[int], is_gone: Callable[[int], bool]) -> None:
    """Remove all that the folder has of rows for which `is_gone`; `gone` are those in the journal.

    Files without a row in the journal, as `--restart` leaves them, go too. Raises OSError.
    """
    journal = folder.journal(folder.next_session())
    try:
        for number in gone:  # first, so that no row counts as done without its files
            journal.gone(number)
    finally:
        journal.close()
    if records.plan.is_packed:
        size = records.plan.rows_per_tar
        here = {int(path.stem) for path in packed_files(folder.path)}
        for number in folder.store.packed_numbers() if folder.store else sorted(here):
            if any(map(is_gone, range(number * size, (number + 1) * size))):
                folder.pack(records, number, is_gone)
        if folder.store:
            folder.store.sweep()
        return
    for place, folders, names in os.walk(folder.path):
        folders[:] = [name for name in folders if name != JOURNALS]
        for name in names:
            if (ours := _OUR_NAME.fullmatch(name)) and is_gone(int(ours[1])):
                Path(place, name).unlink()
