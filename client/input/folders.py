"""Lists the photos of a folder or a glob: all files below it that are photos, sorted by name in each directory.

Whether a file is a photo is told by its first bytes. Two kinds of files are not opened for that: those named like a
photo, which fail as a row if they are none, and those named like what stands beside photos: captions, metadata, raws.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from client.errors import RowError, TableError, shown

# What `decode` reads; HEIC where the server has the extra `heif`.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif")
_TEXT_SUFFIXES = (".txt", ".json", ".jsonl", ".xmp", ".xml", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml", ".log")
_DATA_SUFFIXES = (".npy", ".npz", ".parquet", ".pt", ".safetensors")
_RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")  # most begin as TIFFs
_OTHER_SUFFIXES = _TEXT_SUFFIXES + _DATA_SUFFIXES + _RAW_SUFFIXES
_HEAD_BYTES = 18
_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes, which every version of the format has its own of
_WILDCARDS = frozenset("*?[")
_ANY_DEPTH = "**"
_SHOWN_KINDS = 5


@dataclass(frozen=True)
class Listing:
    """A folder, and which files below it are wanted.

    Attributes:
        others: after a pass, how many matching files of each suffix are no photos.
    """

    folder: Path
    pattern: tuple[str, ...]  # one glob per directory level, `**` for any number of levels
    others: Counter[str] = field(default_factory=Counter, compare=False)

    def paths(self) -> Generator[str | RowError, None, None]:
        """Yield the photos' paths relative to the folder; a directory that cannot be listed gives an error.

        Names are compared by their characters, so the order is the same on every machine. Links to directories are
        followed; a link to nothing counts as a photo, which then cannot be read. Memory holds only the names in the
        directories above the current file.
        """
        self.others.clear()
        yield from self._below("", _closure(self.pattern, {0}), ())

    def left_out(self) -> str:
        """The files that a pass has left out, such as `left out 12 files: 10 .txt, 2 .xmp`; empty if none."""
        counts = sorted(self.others.items(), key=lambda one: (-one[1], one[0]))
        kinds = [f"{count:,} {suffix or 'without suffix'}" for suffix, count in counts[:_SHOWN_KINDS]]
        if rest := sum(count for _, count in counts[_SHOWN_KINDS:]):
            kinds.append(f"{rest:,} others")
        total = self.others.total()
        return f"left out {total:,} file{'s' * (total > 1)}: {', '.join(kinds)}" if total else ""

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
                found = sorted((entry.name, _is_folder(entry)) for entry in entries)
        except OSError as error:
            yield RowError(f"the folder {shown(str(path))} cannot be listed ({error.strerror})")
            return
        for name, is_folder in found:
            reached = self._after(states, name)
            if is_folder and any(state < len(self.pattern) for state in reached):
                yield from self._below(f"{parent}{name}/", reached, (*above, inode))
            elif not is_folder and len(self.pattern) in reached:
                if _is_photo(path, name):
                    yield parent + name
                else:
                    self.others[PurePath(name).suffix.lower()] += 1

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


def _closure(pattern: tuple[str, ...], states: set[int]) -> frozenset[int]:
    """`states`, and those after each `**`, which also matches no level."""
    for state in range(len(pattern)):
        if state in states and pattern[state] == _ANY_DEPTH:
            states.add(state + 1)
    return frozenset(states)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that is closed to us
        return False


def _is_photo(folder: Path, name: str) -> bool:
    """Whether a file is a row of its own: a photo, or something that claims to be one and cannot be read."""
    suffix = name.lower()
    if suffix.endswith(IMAGE_SUFFIXES):
        return True
    if suffix.endswith(_OTHER_SUFFIXES):
        return False
    try:
        # Non-blocking, because opening a named pipe would otherwise wait for its writer.
        descriptor = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return (folder / name).is_symlink()
    try:
        head = os.read(descriptor, _HEAD_BYTES)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return begins_like_a_photo(head)


def begins_like_a_photo(head: bytes) -> bool:
    """Whether a file's first 18 bytes are those of a kind that `decode` reads."""
    if head.startswith(_MARKS):
        return True
    if head.startswith(b"BM"):
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)


def find_listing(text: str) -> Listing | None:
    """`text` as a folder or a glob, or None if it is neither. Raises TableError if it holds no photo."""
    path = Path(text)
    if path.is_dir():
        listing = Listing(path, (_ANY_DEPTH, "*"))
    elif _WILDCARDS.isdisjoint(text) or path.exists():
        return None
    else:
        fixed = next(at for at, part in enumerate(path.parts) if not _WILDCARDS.isdisjoint(part))
        listing = Listing(Path(*path.parts[:fixed]), path.parts[fixed:])
    if next(listing.paths(), None) is None:
        reason = f" ({listing.left_out()})" if listing.others else ""
        raise TableError(f"{shown(text)} holds no images{reason}; check --csv")
    return listing
