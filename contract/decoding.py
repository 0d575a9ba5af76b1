"""Which photo `decode` was reading when its process died: noted by `decode`, counted by whoever starts Triton again.

A photo that has ended two processes is refused from then on, so that it fails alone and everything else is served.
"""

import os
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "RELIGHT_DECODING"  # of the environment: the folder of the notes; where it is not set, nothing is noted
MOST_DEATHS = 2
_DEATHS = "deaths"  # a line for each process that died over a photo; beside it a file for each process, by its id
_NOTHING = "-" * 16


@dataclass(frozen=True)
class Fatal:
    """A photo that was read when a process died."""

    size: int  # bytes of the file
    deaths: int  # how many processes have died over it so far


class Note:
    """What this process is reading; the kernel keeps it when the process dies."""

    def __init__(self, folder: Path) -> None:
        """`folder` must exist. Raises OSError."""
        self._file = os.open(folder / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._fatal = {photo for photo, deaths in read_deaths(folder).items() if deaths >= MOST_DEATHS}

    def begin(self, image: bytes) -> bool:
        """Note that `image` is read from now on; return False, and note nothing, where it must not be."""
        photo = f"{zlib.crc32(image):08x}{len(image) & 0xFFFFFFFF:08x}"  # a quarter of a millisecond for a megabyte
        if photo in self._fatal:
            return False
        os.pwrite(self._file, photo.encode(), 0)
        return True

    def end(self) -> None:
        """Note that nothing is read."""
        os.pwrite(self._file, _NOTHING.encode(), 0)


def read_deaths(folder: Path) -> Counter[str]:
    """How many processes died over each photo."""
    try:
        return Counter((folder / _DEATHS).read_text().split())
    except FileNotFoundError:
        return Counter()


def count_death(folder: Path, process: int) -> Fatal | None:
    """Count the death of a process; return what it was reading, None where that was nothing."""
    try:
        photo = (folder / str(process)).read_text()
    except FileNotFoundError:  # it is no process of decode
        return None
    if photo in ("", _NOTHING):
        return None
    with (folder / _DEATHS).open("a") as deaths:
        deaths.write(f"{photo}\n")
    return Fatal(size=int(photo[8:], 16), deaths=read_deaths(folder)[photo])


def forget_processes(folder: Path) -> None:
    """Remove the notes of processes that have ended; the deaths stay."""
    for file in folder.glob("[0-9]*"):
        file.unlink()
