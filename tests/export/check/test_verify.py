"""`export verify` asks what is served: every row of the kept answers, at every batch size that the server takes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton

from contract.names import NETWORKS
from export.check.verify import Server, served_limit, verify
from export.errors import ExportError
from export.files import onnx_file
from export.tensors import read_contract
from server.derive import this_machine
from server.embedded import RunningServer
from tests.rig.places import ROOT
from tests.rig.served import serving

LIMIT, ROWS = 4, 3  # rows that an export keeps; one of the batch sizes divides them, one is larger


@pytest.fixture(scope="module")
def larger_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that takes batches larger than what is kept."""
    with serving(repository, tmp_path_factory.mktemp("larger"), max_batch=LIMIT) as running:
        yield running


def executions(url: str, model: str) -> dict[int, int]:
    """How many executions of each batch size Triton has counted."""
    with triton.InferenceServerClient(url) as client:
        statistics = client.get_inference_statistics(model).model_stats[0]
    return {batch.batch_size: batch.compute_infer.count for batch in statistics.batch_stats}


def test_what_this_machine_serves_is_what_the_networks_compute(server: RunningServer) -> None:
    """As the compose file's service `verify` asks; the limit is the one that is derived for this machine."""
    command = [sys.executable, "-m", "export", "verify", str(server.repository), "--url", server.grpc_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    limit = this_machine(gpus=0).cpu_batch
    for name in NETWORKS:
        assert served_limit(Server(server.grpc_url), name) == limit
        assert f"{name:<10} computes what its network computes" in done.stdout
    assert f"at batch {limit} is" in done.stdout
    assert f"at batch {limit + 1} is" not in done.stdout


def test_every_row_is_asked_at_every_batch_size_up_to_the_limit(larger_server: RunningServer) -> None:
    before = {name: executions(larger_server.grpc_url, name) for name in NETWORKS}
    assert verify([str(larger_server.repository), "--url", larger_server.grpc_url]) == 0
    for name in NETWORKS:
        after = executions(larger_server.grpc_url, name)
        asked = {size: after[size] - before[name].get(size, 0) for size in after}
        assert asked == {size: -(-ROWS // size) for size in range(1, LIMIT + 1)}, name


def test_a_gpu_that_cannot_be_used_is_not_replaced_by_the_cpu(repository: Path) -> None:
    with pytest.raises(ExportError, match="onnxruntime cannot use cuda:99"):
        onnx_file.load(repository / "recombine" / "1", read_contract("recombine"), "cuda:99")


def test_a_difference_in_the_last_row_alone_is_found_at_every_batch_size(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing but the last row's kept answer is changed, which a batch of 1 would not have shown before."""
    models = tmp_path / "models"
    shutil.copytree(repository, models, ignore=shutil.ignore_patterns("configs", "__pycache__"))
    file = models / "shadow" / "1" / "reference.npz"
    with np.load(file) as kept:
        arrays = dict(kept)
    arrays["SHADING"][-1] += 1.0
    np.savez_compressed(file, **arrays)
    assert verify([str(models)]) == 1
    said = capsys.readouterr().out
    assert "shadow     FAILED" in said
    for batch in json.loads((file.parent / "export.json").read_text())["batches"]:
        assert f"largest of SHADING at batch {batch} is" in said
