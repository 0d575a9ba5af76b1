"""Keeps the files of one row on the disk until all of them have come, so that memory does not grow with the lights."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO


class Spool:
    """A file without a name in `folder`; it goes with the last of what was read from it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._kept: list[tuple[str, int]] = []  # name of the picture and bytes, in the order of the file

    def add(self, pictures: Mapping[str, list[memoryview]]) -> None:
        """Write the files of some pictures to the disk. Raises OSError, naming the folder."""
        try:
            self._file = self._file or tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            for name, files in pictures.items():
                self._file.writelines(files)
                self._kept += [(name, len(file)) for file in files]
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._folder)) from error

    def all(self) -> dict[str, list[memoryview]]:
        """All files by picture, in the order in which they were added; the disk is read when they are used."""
        pictures: dict[str, list[memoryview]] = {name: [] for name, _ in self._kept}
        if self._file is not None:
            with self._file as file:
                stored = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            at = 0
            for name, length in self._kept:
                pictures[name].append(stored[at : at + length])
                at += length
        return pictures
