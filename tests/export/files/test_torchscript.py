"""TorchScript files compute what their networks compute, to the bit, at any batch, on any device."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from contract.light import LIGHT, SCENE
from export.errors import ExportError
from export.files import torchscript_file
from export.networks.colour_segmenter import ColourSegmenter
from export.networks.hub.depth import DepthShadow, tiny_depth
from export.networks.hub.marigold import MarigoldAlbedo
from export.networks.hub.marigold_random import tiny_marigold
from export.networks.hub.sam3 import Sam3Segment, tiny_sam3
from export.networks.inflate import Inflate
from export.networks.pattern_bank import PatternBank
from export.networks.retinex import Retinex
from export.tensors import Contract, TensorSpec, example_inputs, read_contract
from tests.rig.stripe import stripe

BRIGHT = Contract(
    "bright", (TensorSpec("PIXELS", torch.uint8, (3, 8, 8)),), (TensorSpec("BRIGHT", torch.float32, (3, 8, 8)),)
)
NETWORKS: dict[str, tuple[str, Callable[[PatternBank], nn.Module]]] = {
    "sam3": ("segment", lambda patterns: Sam3Segment(tiny_sam3(seed=1))),
    "sam3, union": ("segment", lambda patterns: Sam3Segment(tiny_sam3(seed=1), "union")),
    "colour": ("segment", lambda patterns: ColourSegmenter()),
    "marigold": ("albedo", lambda patterns: MarigoldAlbedo(tiny_marigold(), steps=2, side=96)),
    "marigold, tiny autoencoder": (
        "albedo",
        lambda patterns: MarigoldAlbedo(tiny_marigold(0, "tiny"), steps=1, side=96),
    ),
    "retinex": ("albedo", lambda patterns: Retinex()),
    "depth-anything": ("shadow", lambda patterns: DepthShadow(tiny_depth(), patterns)),
    "inflate": ("shadow", lambda patterns: Inflate(patterns)),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """On a shared machine networks this small spend their time waiting for their second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def patterns(tmp_path_factory: pytest.TempPathFactory) -> PatternBank:
    return stripe(tmp_path_factory.mktemp("materials"))


@pytest.fixture(scope="module", params=NETWORKS)
def exported(
    request: pytest.FixtureRequest, patterns: PatternBank, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Contract, Path]:
    """A network, its contract and the folder with its file."""
    stage, build = NETWORKS[request.param]
    network, contract, folder = build(patterns).eval(), read_contract(stage), tmp_path_factory.mktemp("version")
    torchscript_file.write(network, contract, folder)
    return network, contract, folder


def inputs_with(contract: Contract, batch: int, lights: int) -> tuple[Tensor, ...]:
    """Inputs that are not the traced ones, with `lights` pictures of the up to 6 where there are any."""
    drawn = dict(zip((spec.name for spec in contract.inputs), example_inputs(contract, batch, seed=5), strict=True))
    for name in {LIGHT, SCENE} & drawn.keys():
        drawn[name] = drawn[name].repeat(1, 2, *[1] * (drawn[name].dim() - 2))[:, :lights]
    if LIGHT in drawn and lights == 1:
        drawn[LIGHT] = drawn[LIGHT][:, :, :1]
    return tuple(drawn.values())


def ask(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.inference_mode():
        answers = network(*inputs)
    return answers if isinstance(answers, tuple) else (answers,)


@pytest.mark.parametrize(("batch", "lights"), [(1, 1), (3, 5)])
def test_a_file_computes_what_its_network_computes_to_the_bit(
    exported: tuple[nn.Module, Contract, Path], batch: int, lights: int
) -> None:
    network, contract, folder = exported
    inputs = inputs_with(contract, batch, lights)
    answers = torchscript_file.load(folder, contract)(inputs)
    for spec, answer, truth in zip(contract.outputs, answers, ask(network, inputs), strict=True):
        assert answer.dtype == spec.dtype
        assert torch.equal(answer, truth), spec.name
    assert answers[0].float().std() > 0.01  # a constant would prove little


def test_a_file_runs_wholly_on_the_device_it_is_loaded_to(exported: tuple[nn.Module, Contract, Path]) -> None:
    """The meta device stands for a GPU: it refuses to meet the CPU's tensors, and has no values to hand back to it."""
    _, contract, folder = exported
    for batch in (1, 3):
        answers = run_on_meta(folder, example_inputs(contract, batch))
        assert {answer.device.type for answer in answers} == {"meta"}
        assert [answer.shape[0] for answer in answers] == [batch] * len(contract.outputs)


def run_on_meta(folder: Path, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Load a file to the meta device and run it there."""

    def equal(one: Tensor, other: Tensor) -> bool:
        return one is other

    jit: Any = torch.jit
    with torch.library._scoped_library("aten", "IMPL") as library, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # To merge equal constants, loading and running compare them, which every device but this one can.
        library.impl("equal", equal, "Meta")
        module = jit.load(str(folder / torchscript_file.MODEL), map_location="meta")
        return ask(module, tuple(value.to("meta") for value in inputs))


def test_writing_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torchscript_file.write(MakesTensors().eval(), BRIGHT, tmp_path)
        torchscript_file.load(tmp_path, BRIGHT)


class MakesTensors(nn.Module):
    """Makes tensors of the batch's size, of a fixed size and out of numbers, all of them on the CPU."""

    def forward(self, pixels: Tensor) -> Tensor:
        row = torch.arange(pixels.shape[0], device="cpu").reshape(-1, 1, 1, 1)
        channel = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
        return pixels.float() + row + channel + torch.arange(8)


def test_devices_that_a_trace_bakes_in_are_freed(tmp_path: Path) -> None:
    inputs = example_inputs(BRIGHT, 3)
    naive, freed = tmp_path / "naive", tmp_path / "freed"
    naive.mkdir()
    freed.mkdir()
    jit: Any = torch.jit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        jit.trace(MakesTensors(), example_inputs(BRIGHT, 2)).save(str(naive / "model.pt"))
    torchscript_file.write(MakesTensors(), BRIGHT, freed)

    with pytest.raises(RuntimeError, match="device"):
        run_on_meta(naive, inputs)
    (answer,) = run_on_meta(freed, inputs)
    assert answer.device.type == "meta"
    assert torch.equal(*torchscript_file.load(freed, BRIGHT)(inputs), *ask(MakesTensors(), inputs))


def scripted_row(pixels: Tensor) -> Tensor:
    """0, 1, 2 … on the default device: a scripted function does not say which that is."""
    return torch.arange(pixels.size(0)).reshape(-1, 1, 1, 1)


class ChoosesItsDevice(nn.Module):
    """Makes a tensor on a device that the trace does not name."""

    def __init__(self) -> None:
        super().__init__()
        jit: Any = torch.jit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.row = jit.script(scripted_row)

    def forward(self, pixels: Tensor) -> Tensor:
        bright: Tensor = pixels.float() + self.row(pixels)
        return bright


def test_a_network_whose_device_cannot_be_freed_is_refused_with_the_line_and_the_remedy(tmp_path: Path) -> None:
    sentence = r"bright: aten::arange \(.*test_torchscript\.py.*\) chooses its device itself .* device=pixels\.device"
    with pytest.raises(ExportError, match=sentence):
        torchscript_file.write(ChoosesItsDevice(), BRIGHT, tmp_path)
    assert not list(tmp_path.iterdir())


class BakesItsBatch(nn.Module):
    """Takes the batch it is traced with for granted."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.float().reshape(int(pixels.shape[0]), 3, 64).reshape(-1, 3, 8, 8)


def test_a_batch_that_is_baked_in_shows(tmp_path: Path) -> None:
    torchscript_file.write(BakesItsBatch(), BRIGHT, tmp_path)
    run = torchscript_file.load(tmp_path, BRIGHT)
    inputs = example_inputs(BRIGHT, torchscript_file.TRACED_BATCH)
    assert torch.equal(*run(inputs), *ask(BakesItsBatch(), inputs))
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        run(example_inputs(BRIGHT, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_runs_on_the_cpu_too(tmp_path: Path, dtype: torch.dtype) -> None:
    contract = read_contract("albedo")
    network = MarigoldAlbedo(tiny_marigold().to(dtype), steps=1, side=96)
    torchscript_file.write(network, contract, tmp_path)
    inputs = example_inputs(contract, 1)
    for answer, truth in zip(torchscript_file.load(tmp_path, contract)(inputs), ask(network, inputs), strict=True):
        assert torch.equal(answer, truth)
