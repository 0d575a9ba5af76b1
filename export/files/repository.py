"""Lays out a model repository in another folder: the hand-written part beside the exported one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from export.tensors import HOUSE


def lay_out(repository: Path) -> None:
    """Copy everything hand-written from model_repository/ to `repository`, unless it is that folder itself."""
    if repository.resolve() == HOUSE:
        return
    for config in sorted(HOUSE.glob("*/config.pbtxt")):
        version = repository / config.parent.name / "1"
        version.mkdir(parents=True, exist_ok=True)
        shutil.copy2(config, version.parent)
        for module in (config.parent / "1").glob("*.py"):
            shutil.copy2(module, version)


def lay_tokenizer(repository: Path, write: Callable[[Path], None] | None) -> None:
    """Put the files `decode` tokenises with beside it; remove them for a `segment` that does not read the prompt."""
    folder = repository / "decode" / "1"
    if write is not None:
        write(folder)
        return
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink(missing_ok=True)
