"""Which of a model's versions is served: the folder with the largest number, as every config asks for it."""

from __future__ import annotations

from pathlib import Path

REPORT = "export.json"  # what a network was exported from, in its version's folder


def newest_version(model: Path, holding: str = "") -> Path | None:
    """The folder of a model's newest version, of those that hold the file `holding` where one is named."""
    folders = [folder for folder in model.glob("*/") if folder.name.isdecimal() and (folder / holding).exists()]
    return max(folders, key=lambda folder: int(folder.name), default=None)
