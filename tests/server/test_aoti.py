"""AOTInductor packages: compiled here, right at every size, taken again as they are, and served by the real server."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from client import relight
from contract.light import LIGHT, SCENE
from contract.versions import REPORT
from export.check.gate import compare
from export.check.verify import Server, served, verify_network
from export.errors import ExportError
from export.exporter import COMPILED_BATCHES, Candidate, export
from export.files import aoti_file, onnx_file
from export.files.version_folder import scratch
from export.tensors import example_inputs, read_contract
from server.embedded import RunningServer
from server.installation import ServerError
from tests.rig.places import SAMPLES
from tests.rig.served import serving
from tests.server.lamp import Lamp

CONTRACT = read_contract("shadow")
SIZES = ((1, 1, 1), (3, 5, 1), (1, 3, 2), (2, 1, 4), (16, 1, 3))  # photos, pictures, sources
LIMIT = 4  # rows of a batch


@pytest.fixture(scope="module", autouse=True)
def own_caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The compiler's caches are this test's own, and it compiles on one thread."""
    folder, threads = tmp_path_factory.mktemp("inductor"), torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version folder of a compiled `shadow`."""
    folder = tmp_path_factory.mktemp("compiled")
    export(Candidate("shadow", "lamp", "none", Lamp(), "aoti"), folder)
    return folder


@pytest.fixture(scope="module")
def models(version: Path, plain_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with it."""
    folder = shutil.copytree(plain_repository, tmp_path_factory.mktemp("aoti") / "models")
    shutil.rmtree(folder / "shadow" / "1")
    shutil.copytree(version, folder / "shadow" / "1")
    return folder


@pytest.fixture(scope="module")
def compiled_server(models: Path) -> Iterator[RunningServer]:
    with serving(models, models.parent, max_batch=LIMIT) as running:
        yield running


def inputs_of(batch: int, pictures: int, sources: int) -> tuple[Tensor, ...]:
    drawn = dict(zip((spec.name for spec in CONTRACT.inputs), example_inputs(CONTRACT, batch, seed=5), strict=True))
    drawn[LIGHT] = drawn[LIGHT].repeat(1, 2, 2, 1)[:, :pictures, :sources]
    drawn[SCENE] = drawn[SCENE].repeat(1, 2, 1)[:, :pictures]
    return tuple(drawn.values())


def assert_alike(answers: tuple[Tensor, ...], truth: tuple[Tensor, ...]) -> None:
    for spec, answer, true in zip(CONTRACT.outputs, answers, truth, strict=True):
        for name, value, limit in compare(spec, answer, true, "fp32", False):
            assert value >= limit if name == "PSNR" else value <= limit, (spec.name, name)
    assert answers[0].float().std() > 0.01  # a constant would prove little


def test_a_compiled_export_is_compared_at_whole_vectors_and_at_what_is_left_over(version: Path) -> None:
    assert {file.name for file in version.iterdir()} == {"model.pt2", "reference.npz", REPORT}
    report = json.loads((version / REPORT).read_text())
    assert (report["format"], tuple(report["batches"])) == ("aoti", COMPILED_BATCHES)


@pytest.mark.parametrize(("batch", "pictures", "sources"), SIZES)
def test_a_package_takes_any_number_of_photos_pictures_and_sources(
    version: Path, batch: int, pictures: int, sources: int
) -> None:
    inputs = inputs_of(batch, pictures, sources)
    with torch.inference_mode():
        assert_alike(aoti_file.load(version, CONTRACT)(inputs), Lamp()(*inputs))


def test_the_same_network_is_not_compiled_again_and_other_weights_are(
    version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_nothing(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("compiles")

    monkeypatch.setattr(aoti_file.inductor, "aoti_compile_and_package", compile_nothing)
    with scratch(version) as place:
        aoti_file.write(Lamp(), CONTRACT, place)
        assert (place / "model.pt2").read_bytes() == (version / "model.pt2").read_bytes()
    brighter = Lamp()
    brighter.gain.data += 0.125
    sentence = r"shadow: AOTInductor cannot compile the network \(compiles\); --format torchscript"
    with scratch(version) as place, pytest.raises(ExportError, match=sentence):
        aoti_file.write(brighter, CONTRACT, place)


def test_without_a_compiler_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    with pytest.raises(
        ExportError, match=r"^--format aoti compiles and needs a C\+\+ compiler: install g\+\+, or name"
    ):
        aoti_file.write(Lamp(), CONTRACT, tmp_path)


def test_a_package_for_another_device_is_refused(version: Path) -> None:
    with pytest.raises(ExportError, match="was compiled for cpu and does not run on cuda: name the right --device"):
        aoti_file.load(version, CONTRACT, "cuda:0")


def test_what_is_served_is_what_onnx_gives(compiled_server: RunningServer, tmp_path: Path) -> None:
    """Requests of different numbers of pictures and sources, on the CPU, through the real server."""
    onnx_file.write(Lamp(), CONTRACT, tmp_path)
    onnx, ours = onnx_file.load(tmp_path, CONTRACT), served(Server(compiled_server.grpc_url), CONTRACT, "aoti")
    for batch, pictures, sources in ((1, 1, 1), (4, 1, 2), (2, 3, 1)):
        inputs = inputs_of(batch, pictures, sources)
        assert_alike(ours(inputs), onnx(inputs))


def test_the_ensemble_runs_and_every_batch_size_is_verified(compiled_server: RunningServer) -> None:
    relit = relight(SAMPLES / "grace_hopper.jpg", url=compiled_server.grpc_url, lights=2)
    assert relit.output.shape[0] == 2
    assert relit.info["models"]["shadow"]["network"] == "lamp"
    folder, server = compiled_server.repository / "shadow" / "1", Server(compiled_server.grpc_url)
    found = verify_network(folder, CONTRACT, "cpu", server)
    assert {(one.batch, one.passed) for one in found} == {(size, True) for size in range(1, LIMIT + 1)}


def test_batches_larger_than_those_compiled_for_are_refused_at_the_start(models: Path) -> None:
    sentence = "compiled for batches of up to 16, and its config allows 32: serve with --max-batch 16"
    with pytest.raises(ServerError, match=sentence), serving(models, models.parent, max_batch=32):
        pass
