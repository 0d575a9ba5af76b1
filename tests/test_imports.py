"""Who may import whom: the import-linter contracts of pyproject.toml, which CONTRIBUTING explains."""

import subprocess
import sys
from pathlib import Path

from tests.rig.places import ROOT


def test_the_rooms_import_each_other_as_the_contracts_say() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
