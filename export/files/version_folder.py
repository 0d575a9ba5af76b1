"""Puts a network's files into its version folder: together, after they are complete, or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.versions import REPORT

OURS = ("model.onnx", "model.pt", "weights-*.data", "reference.npz")
CHUNK = 1 << 24  # bytes of a large file read at a time


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Give a folder within `folder`, on the same disk, that is gone after the block; remove those of killed exports."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.partial"):
        if not Path("/proc", left.name.split(".")[1]).exists():
            shutil.rmtree(left, ignore_errors=True)
    place = folder / f".{os.getpid()}.partial"
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def install(place: Path, folder: Path, model: str) -> None:
    """Move complete files from `place` to `folder`, what the model refers to first, then the model, then its report.

    What the report says is what is served: only when it is in place does the rest of the former export go.
    """
    files = sorted(place.iterdir(), key=lambda file: (file.name == REPORT, file.name == model))
    new = {file.name for file in files}
    for file in files:
        file.replace(folder / file.name)
    for pattern in OURS:
        for former in folder.glob(pattern):
            if former.name not in new:
                former.unlink()


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()
