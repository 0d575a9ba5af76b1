"""A user's own network takes a stage's place, held to the stage's contract."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from client import relight
from export.__main__ import main
from export.check.reference import ask
from export.check.verify import verify_network
from export.errors import ExportError
from export.exporter import Candidate, export
from export.networks.own import build_own
from export.tensors import read_contract
from tests.rig.places import SAMPLES
from tests.rig.served import serving

FACTORY = """
import torch
from torch import nn
from tests.rig.served import serving

class Gray(nn.Module):
    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.5))

    def forward(self, pixels):
        albedo = (pixels.float() / 255.0 * self.level).half()
        return albedo, albedo.float().mean((1, 2, 3)).reshape(-1, 1)

class Small(Gray):
    def forward(self, pixels):
        albedo, residual = super().forward(pixels)
        return albedo[:, :, ::2, ::2], residual

class Double(Gray):
    def forward(self, pixels):
        albedo, residual = super().forward(pixels)
        return albedo.float(), residual

class Bright(Gray):
    def forward(self, pixels):
        albedo, residual = super().forward(pixels)
        return albedo * 8, residual

class Unscored(Gray):
    def forward(self, pixels):
        albedo, residual = super().forward(pixels)
        return albedo, torch.full_like(residual, float("nan"))

class Alone(Gray):
    def forward(self, pixels):
        return super().forward(pixels)[0]

class Hungry(Gray):
    def forward(self, pixels, prompt):
        return super().forward(pixels)

def no_network():
    return 3

def fails():
    raise RuntimeError("no luck")
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `my_pkg` in the current folder, as a user would have it."""
    package = tmp_path / "my_pkg"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "my_pkg"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_network_of_ones_own_is_exported_with_its_checkpoint_and_the_others_stay(tmp_path: Path) -> None:
    save_file({"level": torch.tensor(0.25)}, tmp_path / "gray.safetensors")
    before = tmp_path / "models" / "shadow" / "1" / "model.onnx"
    before.parent.mkdir(parents=True)
    before.write_bytes(b"the model before")
    given = "--albedo my_pkg.nets:Gray --checkpoint gray.safetensors --format torchscript --only albedo"
    assert main([*given.split(), "--repository", "models"]) == 0
    assert before.read_bytes() == b"the model before"
    report = json.loads((tmp_path / "models" / "albedo" / "1" / "export.json").read_text())
    assert (report["network"], report["weights"], report["parameters"]) == ("my_pkg.nets:Gray", "gray.safetensors", 1)
    answer = torch.jit.load(tmp_path / "models" / "albedo" / "1" / "model.pt")  # type: ignore[no-untyped-call]
    white = torch.full((1, 3, 768, 768), 255, dtype=torch.uint8)
    assert answer(white)[0].unique().item() == 0.25
    contract = read_contract("albedo")
    assert all(found.passed for found in verify_network(tmp_path / "models" / "albedo" / "1", contract, "cpu", None))


def test_a_network_that_knows_no_residual_is_kept_and_served(plain_repository: Path, tmp_path: Path) -> None:
    models = shutil.copytree(plain_repository, tmp_path / "models")
    network = build_own("my_pkg.nets:Unscored", None)
    export(Candidate("albedo", "unscored", "none", network), models / "albedo" / "1")
    with serving(models, tmp_path, max_batch=1) as running:
        relit = relight(SAMPLES / "grace_hopper.jpg", url=running.grpc_url)
    assert relit.info["residual"] is None
    assert relit.info["models"]["albedo"]["network"] == "unscored"


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_checkpoint_of_either_kind_is_loaded(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"level{suffix}"
    tensors = {"level": torch.tensor(0.75)}
    save_file(tensors, file) if suffix == ".safetensors" else torch.save({"state_dict": tensors}, file)
    assert build_own("my_pkg.nets:Gray", file).get_parameter("level").item() == 0.75


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "lacks 1, e.g. level"),
        ({"level": torch.tensor(1.0), "other": torch.tensor(1.0)}, "has 1 that the network does not know, e.g. other"),
        ({"level": torch.ones(2)}, r"level is \[2\], not \[\]"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    torch.save(tensors, tmp_path / "wrong.pt")
    with pytest.raises(ExportError, match=f"wrong.pt does not fit the network: .*{message}"):
        build_own("my_pkg.nets:Gray", tmp_path / "wrong.pt")


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not tensors")
    (tmp_path / "text.safetensors").write_text("not tensors")
    for name in ("text.pt", "text.safetensors", "absent.pt"):
        with pytest.raises(ExportError, match=f"{name} cannot be read as a state dict"):
            build_own("my_pkg.nets:Gray", tmp_path / name)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("my_pkg.absent:Gray", "my_pkg.absent cannot be imported"),
        ("my_pkg.nets:Absent", "my_pkg.nets has no function Absent"),
        ("my_pkg.nets:no_network", r"gives int; it must give a torch.nn.Module"),
        ("my_pkg.nets:fails", "my_pkg.nets:fails fails: no luck"),
    ],
)
def test_what_is_no_network_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        build_own(spec, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Small", r"ALBEDO is float16 \[1, 3, 384, 384\]; albedo needs float16 \[1,3,768,768\] in 0–1"),
        ("Double", r"ALBEDO is float32 .*; albedo needs float16"),
        ("Bright", r"ALBEDO reaches from 0 to 3.*; albedo needs float16 \[1,3,768,768\] in 0–1"),
        ("Alone", "gives 1 outputs; albedo gives 2: ALBEDO, RESIDUAL"),
        ("Hungry", r"fails on albedo's inputs \(ALBEDO_PIXELS uint8 \[1,3,768,768\]\)"),
    ],
)
def test_a_broken_contract_is_refused_with_what_was_expected(name: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        ask(build_own(f"my_pkg.nets:{name}", None), read_contract("albedo"), name, 1)


@pytest.mark.parametrize("given", ["--shadow my_pkg.absent:Gray", "--shadow my_pkg.nets:Gray --checkpoint absent.pt"])
def test_what_cannot_be_imported_is_refused_before_anything_is_written(
    given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--preset", "classical", *given.split(), "--repository", "models"]) == 1
    told = capsys.readouterr()
    assert "absent" in told.err
    assert not told.out
    assert not (tmp_path / "models").exists()
