"""metadata.jsonl beside the pictures of a folder, a line for each picture: what `load_dataset("imagefolder")` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from client.input.row import Row
from client.output.files import encode_record
from client.output.records import IMAGE, Records

NAME = "metadata.jsonl"


class Lines:
    """Writes a folder's records, each from its row's metadata and the table as it is now. Use it in `written`."""

    def __init__(self, folder: Path, records: Records, stack: ExitStack) -> None:
        self._folder, self._records, self._stack = folder, records, stack
        self._keys = {picture: self._key(picture) for picture in records.plan.pictures}
        self.open: dict[str, BinaryIO] = {}  # by split

    def add(self, row: Row) -> list[dict[str, Any]]:
        """Write the lines of a row that is done; return its records, none where its metadata is no longer there."""
        plan = self._records.plan
        place = plan.place(row)
        try:
            metadata = json.loads((self._folder / place / plan.metadata_name(row)).read_bytes())
        except (FileNotFoundError, ValueError):  # somebody has removed it
            return []
        below = place.removeprefix(row.split).strip("/")
        records = self._records.of_row(row, metadata)
        for names, record in zip(plan.sample_names(row), records, strict=True):
            paths = {self._keys[kind]: f"{below}/{name}" if below else name for kind, name in names.items()}
            self._file(row.split).write(encode_record(paths | record))
        return records

    def _key(self, picture: str) -> str:
        name = self._records.pictures[picture]
        if not self._records.is_image(picture):
            return name
        return "file_name" if name == IMAGE else f"{name}_file_name"

    def _file(self, split: str) -> BinaryIO:
        if split not in self.open:
            file = _unfinished(self._folder / split / NAME)
            self.open[split] = self._stack.enter_context(file.open("wb"))
        return self.open[split]


@contextmanager
def written(folder: Path, records: Records) -> Iterator[Lines]:
    """Lines whose files get their names at the end of the block, and replace all earlier ones, unless it fails."""
    with ExitStack() as stack:
        lines = Lines(folder, records, stack)
        try:
            yield lines
        except BaseException:
            for split in lines.open:
                with suppress(OSError):
                    _unfinished(folder / split / NAME).unlink()
            raise
    files = {folder / split / NAME for split in lines.open}
    for file in files:
        _unfinished(file).replace(file)
    for old in {*folder.glob(NAME), *folder.glob(f"*/{NAME}")} - files:
        old.unlink()


def _unfinished(file: Path) -> Path:
    return file.with_name(f".{NAME}.tmp")
