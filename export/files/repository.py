"""Lays out a model repository in another folder: the hand-written part beside the exported one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from export.tensors import REPOSITORY

VOCABULARY = ("vocab.json", "merges.txt", "prompts.json")  # of CLIP, and of a network that knows a few prompts


def lay_out(repository: Path) -> None:
    """Copy everything hand-written from model_repository/ to `repository`, unless it is that folder itself.

    The copy stands alone: contract/, a link beside the Python models, becomes a folder of files there.
    """
    if repository.resolve() == REPOSITORY:
        return
    for config in sorted(REPOSITORY.glob("*/config.pbtxt")):
        version = repository / config.parent.name / "1"
        version.mkdir(parents=True, exist_ok=True)
        shutil.copy2(config, version.parent)
        for module in (config.parent / "1").glob("*.py"):
            shutil.copy2(module, version)
        if (shared := config.parent / "1" / "contract").exists():
            if (copied := version / shared.name).is_symlink():
                copied.unlink()
            shutil.copytree(shared, copied, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def lay_vocabulary(repository: Path, write: Callable[[Path], None] | None) -> None:
    """Write what `decode` reads prompts with into its folder, in the place of what was there for another `segment`."""
    folder = repository / "decode" / "1"
    for name in VOCABULARY:
        (folder / name).unlink(missing_ok=True)
    if write is not None:
        write(folder)
