"""An export is complete and right, or it leaves everything as it was."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export import exporter
from export.errors import ExportError
from export.exporter import Candidate, export
from export.files import onnx_file
from export.files.version_folder import scratch
from export.tensors import REPOSITORY, Contract, TensorSpec, example_inputs

TINY = Contract(
    "tiny", (TensorSpec("PIXELS", torch.uint8, (3, 8, 8)),), (TensorSpec("BRIGHT", torch.float16, (3, 8, 8)),)
)


class Tiny(nn.Module):
    """uint8 [B,3,8,8] → float16 in 0–1."""

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255.0).half()


class Float32(Tiny):
    """Not what the contract says: float32."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float() / 255.0


class Swapped(Tiny):
    """Another network: blue and red change places."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels.flip(1))


class Weighty(Tiny):
    """A network with weights to speak of."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        weights = torch.rand((192, 192), generator=torch.Generator().manual_seed(seed))
        self.weights = nn.Parameter(weights / weights.sum(0))

    def forward(self, pixels: Tensor) -> Tensor:
        return (super().forward(pixels).float().flatten(1) @ self.weights).half().reshape(-1, 3, 8, 8)


class NotNumbers(Tiny):
    """Divides by zero."""

    def forward(self, pixels: Tensor) -> Tensor:
        nothing = super().forward(pixels) * 0.0
        return nothing / nothing


@pytest.fixture
def tiny_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "read_contract", lambda stage: TINY)


def export_tiny(network: nn.Module, folder: Path) -> None:
    export(Candidate("tiny", "tiny", "none", network), folder)


def test_an_export_writes_the_model_its_answers_and_its_report(tmp_path: Path, tiny_contract: None) -> None:
    export_tiny(Tiny(), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "reference.npz", "export.json"}
    report = json.loads((tmp_path / "export.json").read_text())
    assert (report["network"], report["format"], report["precision"]) == ("tiny", "onnx", "fp32")
    assert report["sha256"] == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert {(found["batch"], found["passed"]) for found in report["gate"]} == {(1, True), (3, True)}


def test_an_export_removes_what_the_former_one_left(tmp_path: Path, tiny_contract: None) -> None:
    for name in ("model.pt", "weights-0123456789abcdef.data", ".1x.partial", "notes.txt"):
        (tmp_path / name).touch()
    export_tiny(Tiny(), tmp_path)
    kept = {"model.onnx", "reference.npz", "export.json", ".1x.partial", "notes.txt"}
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_large_weights_lie_beside_the_graph(
    tmp_path: Path, tiny_contract: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above 2 GiB ONNX wants them there; the limit is lowered here."""
    monkeypatch.setattr(onnx_file, "EMBEDDED_BYTES", 1000)
    export_tiny(Weighty(seed=0), tmp_path)
    (first,) = tmp_path.glob("weights-*.data")
    assert first.stat().st_size > (tmp_path / "model.onnx").stat().st_size
    export_tiny(Weighty(seed=1), tmp_path)
    (second,) = tmp_path.glob("weights-*.data")
    assert second != first, "until the graph is replaced, its own weights must stay"


BROKEN = {
    "the file breaks the contract": Float32,
    "the file swaps channels": Swapped,
    "the file gives no numbers": NotNumbers,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_fails_its_check_leaves_everything_as_it_was(
    tmp_path: Path, tiny_contract: None, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"the model before")
    honest = onnx_file.write
    monkeypatch.setattr(onnx_file, "write", lambda _, contract, folder: honest(BROKEN[case](), contract, folder))
    with pytest.raises(ExportError, match="of BRIGHT at batch 1"):
        export_tiny(Tiny(), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_bytes() == b"the model before"


@pytest.mark.parametrize("network", [Float32, NotNumbers])
def test_a_network_that_breaks_its_contract_is_not_exported(
    tmp_path: Path, tiny_contract: None, network: type[nn.Module]
) -> None:
    with pytest.raises(ExportError, match=r"tiny: output BRIGHT is .*; tiny needs float16 \[3,3,8,8\]"):
        export_tiny(network(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_with_the_batch_baked_in_is_refused(
    tmp_path: Path, tiny_contract: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(network: nn.Module, contract: Contract, folder: Path) -> None:
        names = [spec.name for spec in contract.inputs], [spec.name for spec in contract.outputs]
        example = example_inputs(contract, 1)
        torch.onnx.export(network, example, folder / "model.onnx", input_names=names[0], output_names=names[1])

    monkeypatch.setattr(onnx_file, "write", write)
    with pytest.raises(ExportError, match="the file does not run at batch 3"):
        export_tiny(Tiny(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_killed_export_leaves_the_model_before(tmp_path: Path) -> None:
    folder = tmp_path / "segment" / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"the model before")
    command = [sys.executable, "-m", "export", "--preset", "classical", "--repository", str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY.parent, stdout=subprocess.PIPE) as exporting:
        told = b""
        while b"writing" not in told:
            assert exporting.stdout is not None
            byte = exporting.stdout.read(1)
            assert byte, told
            told += byte
        exporting.kill()
    assert (folder / "model.onnx").read_bytes() == b"the model before"
    assert len(list(folder.glob(".*.partial"))) == 1
    with scratch(folder):
        assert len(list(folder.glob(".*.partial"))) == 1, "the one that was left is gone"
    assert [file.name for file in folder.iterdir()] == ["model.onnx"]


def test_an_interrupted_export_says_so_in_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", "--preset", "classical", "--repository", str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.read(1)  # the first network is being built
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert (run.returncode, said.strip()) == (130, b"Interrupted: the network at hand is as it was before.")
