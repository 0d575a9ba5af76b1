"""A repository laid out in another folder stands alone, also over an older layout."""

import subprocess
import sys
from pathlib import Path

import pytest

from contract.names import MODELS
from export.files.repository import lay_out
from export.tensors import REPOSITORY


def files(repository: Path) -> set[Path]:
    return {file.relative_to(repository) for file in repository.rglob("*") if file.is_file()}


def hand_written() -> set[Path]:
    """What a copy must hold: configs, Python models, and the contract beside those that import it."""
    kinds = ("*/config.pbtxt", "*/1/*.py", "*/1/contract/*.py")
    return {file.relative_to(REPOSITORY) for kind in kinds for file in REPOSITORY.glob(kind)}


def test_another_folder_gets_everything_hand_written(tmp_path: Path) -> None:
    lay_out(tmp_path)
    assert {path.parts[0] for path in files(tmp_path)} == set(MODELS)
    assert files(tmp_path) == hand_written()
    assert all((tmp_path / file).read_bytes() == (REPOSITORY / file).read_bytes() for file in hand_written())


@pytest.mark.parametrize("former", ["link", "dangling link", "older files"])
def test_the_copy_holds_the_contract_itself_whatever_lay_there(tmp_path: Path, former: str) -> None:
    place = tmp_path / "decode" / "1" / "contract"
    if former == "older files":
        place.mkdir(parents=True)
        (place / "names.py").write_text("MODELS = ()\n")
    else:
        place.parent.mkdir(parents=True)
        place.symlink_to(REPOSITORY.parent / "contract" if former == "link" else tmp_path / "absent")
    lay_out(tmp_path)
    lay_out(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert files(tmp_path) == hand_written()
    code = "import sys; sys.path.insert(0, '.'); from contract import names; print(names.__file__, len(names.MODELS))"
    command = [sys.executable, "-S", "-c", code]
    ran = subprocess.run(command, cwd=place.parent, capture_output=True, text=True, check=True)
    file, count = ran.stdout.split()
    assert (Path(file).resolve(), int(count)) == (place / "names.py", len(MODELS))
