"""Lays out a model repository in another folder: the hand-written part beside the exported one."""

import shutil
from pathlib import Path

from export.contract import HOUSE


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
