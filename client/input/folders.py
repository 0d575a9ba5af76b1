"""Lists the photos of a folder or a glob: all files below it, sorted by name in each directory."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from client.errors import RowError, TableError, shown

# What `decode` reads. A glob takes every file that it matches.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
_WILDCARDS = frozenset("*?[")
_ANY_DEPTH = "**"


@dataclass(frozen=True)
class Listing:
    """A folder, and which files below it are wanted."""

    folder: Path
    pattern: tuple[str, ...]  # one glob per directory level, `**` for any number of levels
    suffixes: tuple[str, ...]  # of the wanted files, in lower case; empty for any

    def paths(self) -> Generator[str | RowError, None, None]:
        """Yield the files' paths relative to the folder; a directory that cannot be listed gives an error.

        Names are compared by their characters, so the order is the same on every machine. Links to directories are
        followed. Memory holds only the names in the directories above the current file.
        """
        yield from self._below("", _closure(self.pattern, {0}), ())

    def _below(
        self, parent: str, states: frozenset[int], above: tuple[tuple[int, int], ...]
    ) -> Generator[str | RowError, None, None]:
        """Yield the matches in `parent` (empty, or ending in a slash), reached with the pattern in `states`.

        `above` are the inodes of its ancestors.
        """
        path = self.folder / parent
        try:
            status = path.stat()
            inode = (status.st_dev, status.st_ino)
            if inode in above:
                return  # a link to an ancestor
            with os.scandir(path) as entries:
                found = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as error:
            yield RowError(f"the folder {shown(str(path))} cannot be listed ({error.strerror})")
            return
        for name, is_folder in found:
            reached = self._after(states, name)
            if is_folder and any(state < len(self.pattern) for state in reached):
                yield from self._below(f"{parent}{name}/", reached, (*above, inode))
            elif not is_folder and len(self.pattern) in reached and self._wanted(name):
                yield parent + name

    def _after(self, states: Iterable[int], name: str) -> frozenset[int]:
        """The pattern's states after one more level called `name`."""
        reached = set()
        for state in states:
            level = self.pattern[state] if state < len(self.pattern) else None
            if level == _ANY_DEPTH and not name.startswith("."):
                reached.add(state)
            elif level is not None and fnmatchcase(name, level) and (name[0] != "." or level[0] == "."):
                reached.add(state + 1)
        return _closure(self.pattern, reached)

    def _wanted(self, name: str) -> bool:
        return not self.suffixes or name.lower().endswith(self.suffixes)


def _closure(pattern: tuple[str, ...], states: set[int]) -> frozenset[int]:
    """`states`, and those after each `**`, which also matches no level."""
    for state in range(len(pattern)):
        if state in states and pattern[state] == _ANY_DEPTH:
            states.add(state + 1)
    return frozenset(states)


def find_listing(text: str) -> Listing | None:
    """`text` as a folder or a glob, or None if it is neither. Raises TableError if it holds no file."""
    path = Path(text)
    if path.is_dir():
        listing = Listing(path, (_ANY_DEPTH, "*"), IMAGE_SUFFIXES)
        wanted = f"images (files ending in {', '.join(IMAGE_SUFFIXES)})"
    elif _WILDCARDS.isdisjoint(text) or path.exists():
        return None
    else:
        fixed = next(at for at, part in enumerate(path.parts) if not _WILDCARDS.isdisjoint(part))
        listing = Listing(Path(*path.parts[:fixed]), path.parts[fixed:], ())
        wanted = "files that match"
    first = next(listing.paths(), None)
    if first is None:
        raise TableError(f"{shown(text)} holds no {wanted}; check --csv")
    return listing
