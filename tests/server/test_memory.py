"""A batch that does not fit into memory is computed in parts by each backend; the operator is told, once."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import tritonclient.grpc as triton
from onnx import parser
from torch import Tensor, nn
from tritonclient.utils import InferenceServerException

from server.derive import Machine
from server.embedded import Options, RunningServer, starting_server
from server.http_api import NotListeningError, ask
from tests.rig.runs import wait_for

WAIT_SECONDS = 60.0  # for what takes under 5 on an idle machine
ROWS, NARROW, WIDE = 16, 16, 100
# Double the input. More than 64 numbers at once need four petabytes, and the runtime's own allocator refuses.
GRAPH = """<ir_version: 10, opset_import: ["" : 18]> hungry (float[N,W] PIXELS) => (float[N,W] TWICE) {
    numbers = Size (PIXELS)
    most = Constant <value_int = 64> ()
    little = Constant <value_ints = [1]> ()
    absurd = Constant <value_ints = [1000000000000000]> ()
    hungry = Greater (numbers, most)
    size = Where (hungry, absurd, little)
    zeros = ConstantOfShape (size)
    first = Constant <value_int = 0> ()
    zero = Gather (zeros, first)
    double = Add (PIXELS, PIXELS)
    TWICE = Add (double, zero)
}"""


class Hungry(nn.Module):
    """What GRAPH does, in TorchScript."""

    def forward(self, pixels: Tensor) -> Tensor:
        if pixels.numel() > 64:
            return pixels + torch.zeros([1000000000000000])[0]
        return pixels + pixels


CONFIG = """backend: "{backend}" max_batch_size: 16 dynamic_batching {{ }}
input [ {{ name: "{pixels}" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }} ]
output [ {{ name: "{twice}" data_type: TYPE_FP32 dims: [ -1 ] }} ]"""
ENSEMBLE = """platform: "ensemble" max_batch_size: 16
input [ { name: "PIXELS" data_type: TYPE_FP32 dims: [ -1 ] } ]
output [ { name: "TWICE" data_type: TYPE_FP32 dims: [ -1 ] } ]
ensemble_scheduling { step [ { model_name: "onnx_small" model_version: -1
    input_map { key: "PIXELS" value: "PIXELS" } output_map { key: "TWICE" value: "TWICE" } } ] }"""


def write_hungry_models(folder: Path) -> Path:
    """Write a model that runs row by row, as small ONNX networks do on a CPU, and two that run in batches."""
    content = parser.parse_model(GRAPH).SerializeToString()
    for name in ("onnx_small", "onnx_large", "torchscript"):
        version = folder / name / "1"
        version.mkdir(parents=True)
        if name == "torchscript":
            torch.jit.script(Hungry()).save(str(version / "model.pt"))  # type: ignore[no-untyped-call]
            text = CONFIG.format(backend="pytorch", pixels="PIXELS__0", twice="TWICE__0")
        else:
            (version / "model.onnx").write_bytes(content)
            text = CONFIG.format(backend="onnxruntime", pixels="PIXELS", twice="TWICE")
        (version.parent / "config.pbtxt").write_text(text)
    with (folder / "onnx_large" / "1" / "weights.data").open("wb") as file:
        file.truncate(100_000_000)  # a file with a hole, which takes no space
    (folder / "relight").mkdir()
    (folder / "relight" / "config.pbtxt").write_text(ENSEMBLE)
    return folder


@pytest.fixture(scope="module")
def hungry_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("hungry")
    machine = Machine(gpus=0, max_batch=ROWS)
    options = Options(write_hungry_models(folder / "models"), machine, "127.0.0.1", 0, 0, 0, folder / "triton.log")
    with starting_server(options) as server:
        wait_for(partial(serves, server), WAIT_SECONDS)
        yield server


def serves(server: RunningServer) -> bool:
    """Whether its last service, that of the metrics, listens."""
    assert not server.watch.look(), server.log.read_text()
    try:
        return bool(ask(server.metrics_url, "/metrics", timeout=WAIT_SECONDS))
    except NotListeningError:
        return False


def doubled(server: RunningServer, model: str, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    position = "__0" if model == "torchscript" else ""
    tensor = triton.InferInput(f"PIXELS{position}", list(pixels.shape), "FP32")
    with triton.InferenceServerClient(server.grpc_url) as client:
        answer = client.infer(model, [tensor.set_data_from_numpy(pixels)]).as_numpy(f"TWICE{position}")
    return np.asarray(answer)


def counted(server: RunningServer, model: str) -> int:
    """How often memory ran out, as the metrics say."""
    page = ask(server.metrics_url, "/metrics", timeout=WAIT_SECONDS).decode()
    (value,) = re.findall(rf'^relight_out_of_memory_count{{model="{model}",version="1"}} (\d+)$', page, re.MULTILINE)
    return int(value)


@pytest.mark.parametrize("model", ["onnx_large", "torchscript"])
def test_a_batch_that_does_not_fit_is_computed_in_parts_that_do(hungry_server: RunningServer, model: str) -> None:
    pixels = np.arange(ROWS * NARROW, dtype=np.float32).reshape(ROWS, NARROW)
    assert counted(hungry_server, model) == 0
    for _ in range(2):
        np.testing.assert_array_equal(doubled(hungry_server, model, pixels), 2 * pixels)
        assert counted(hungry_server, model) == 2, "16 and 8 did not fit, which the second time is known"

    def said() -> list[tuple[str, str]]:
        pattern = rf"{model}_0_0 on the CPU ran out of memory with a batch of (\d+).* parts of (\d+)"
        return re.findall(pattern, hungry_server.log.read_text())

    wait_for(lambda: bool(said()), WAIT_SECONDS)  # the log comes after the answer
    assert said() == [("16", "4")]


@pytest.mark.parametrize("model", ["onnx_small", "onnx_large", "torchscript"])
def test_a_row_that_does_not_fit_fails_alone_with_a_sentence(hungry_server: RunningServer, model: str) -> None:
    widths = [NARROW] * 6 + [WIDE] + [NARROW] * 6
    rows = [np.full((1, width), index, np.float32) for index, width in enumerate(widths)]
    before = counted(hungry_server, model)
    with ThreadPoolExecutor(len(rows)) as pool:
        calls = [pool.submit(doubled, hungry_server, model, row) for row in rows]
    for row, call in zip(rows, calls, strict=True):
        if row.shape[1] == WIDE:
            with pytest.raises(InferenceServerException, match="has not enough memory for one row alone") as refused:
                call.result()
            assert refused.value.status() == "StatusCode.INTERNAL"  # no retry helps
        else:
            np.testing.assert_array_equal(call.result(), 2 * row)
    assert counted(hungry_server, model) > before
