"""Puts a network's files into its version folder: together, after they are complete, or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.versions import REPORT

OURS = ("model.onnx", "model.pt", "model.pt2", "weights-*.data", "reference.npz")
CHUNK_BYTES = 1 << 24  # of a large file, read at a time


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Make a folder within `folder`, on the same disk, for the block; remove those of killed exports."""
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
    """Move complete files from `place` to `folder`: what the model refers to, then the model, then its report.

    The files of the former export are removed last.
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
        while chunk := stream.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()
