"""Every command ends in one line after Ctrl-C, even while it imports what it needs, and works in any locale."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.places import REPOSITORY, ROOT

# Runs a command, and presses Ctrl-C when it imports a certain module.
SCRIPT = """
import runpy, sys
place, module, *arguments = sys.argv[1:]
sys.argv = [place, *arguments]
class Keyboard:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Keyboard())
sys.path.insert(0, ".")
run = runpy.run_path if place.endswith(".py") else runpy.run_module
run(place, run_name="__main__")
"""


@pytest.mark.parametrize(
    "command",
    [
        ("export", "torch"),
        ("server", "server.gpus"),
        ("server.derive", "server.gpus"),
        ("server.upgrade", "server.http_api"),
        ("benchmarks", "benchmarks.path.lights", "lights"),
        ("docker.entrypoint", "docker.places"),
        ("docker.export_once", "export.__main__"),
        ("docker.health", "docker.places"),
        ("docker.upgrade", "docker.entrypoint"),
        ("docker.verify", "docker.places"),
        ("demo.py", "server.derive"),
        ("client/run_csv.py", "grpc"),
        ("client.gallery", "client.gallery.page"),
    ],
    ids=lambda command: command[0],
)
def test_ctrl_c_is_one_line(command: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (130, "Interrupted.")


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "contract"),
        ("-m", "server.derive", "--repository", "models"),
        ("-m", "benchmarks", "sweep", "--help"),
        ("client/run_csv.py", "--help"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_locale_that_knows_ascii_alone_will_do(command: tuple[str, ...], tmp_path: Path) -> None:
    for config in REPOSITORY.glob("*/config.pbtxt"):
        (tmp_path / "models" / config.parent.name).mkdir(parents=True)
        shutil.copy(config, tmp_path / "models" / config.parent.name)
    arguments = [str(tmp_path / word) if word == "models" else word for word in command]
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=ascii_alone, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
