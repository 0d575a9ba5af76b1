"""`make` finds a Python that the server's wheel works with, or says which one to install."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.places import ROOT

NEWER = "#!/bin/sh\nexit 1\n"  # how `make` sees a Python that Triton's wheel does not work with


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH whose python3 is too new."""
    for tool in ("make", "sh", "test", "grep", "touch"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or tool)
    (tmp_path / "python3").write_text(NEWER)
    (tmp_path / "python3").chmod(0o755)
    return tmp_path


def make(path: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "--always-make", *options, ".venv/installed"]
    return subprocess.run(command, cwd=ROOT, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def test_an_older_python_is_found_where_python3_is_too_new(path: Path) -> None:
    (path / "python3.11").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (path / "python3.11").chmod(0o755)
    assert "\npython3.11 -m venv .venv\n" in make(path, "--dry-run").stdout


def test_where_there_is_none_the_one_to_install_is_named(path: Path) -> None:
    done = make(path)
    assert done.returncode == 2
    assert "No Python 3.10, 3.11 or 3.12" in done.stdout
    assert "python3.12-venv" in done.stdout
