"""What light costs: the ten shadow patterns, and eight lights in one request against eight requests."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
import tritonclient.grpc as triton

from benchmarks.report import Figure, show
from export.networks.pattern_bank import PatternBank
from server.derive import this_machine
from server.embedded import Options, embedded_server

ROOT = Path(__file__).resolve().parent.parent
LIGHTS = 8
ROUNDS = 5


def main(arguments: Sequence[str]) -> int:
    """Measure and print; medians of ROUNDS rounds, the compared commands in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks lights", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    one, together, apart = measure_requests()
    figures = [
        Figure("a pattern, one core, per photo", measure_patterns(), "CPU-ms", "under 30"),
        Figure("one light in one request", one * 1000, "ms", "-"),
        Figure(f"{LIGHTS} lights in one request", together * 1000, "ms", "-"),
        Figure(f"{LIGHTS} requests of one light", apart * 1000, "ms", "-"),
        Figure(f"{LIGHTS} in one ÷ {LIGHTS} requests", together / apart, "ratio", f"{1 / LIGHTS:.3f}"),
    ]
    show("Light", figures, options.json)
    return 0


def measure_patterns() -> float:
    """CPU-milliseconds of one pattern per photo, the mean of all ten, on one core."""
    bank = PatternBank().eval()
    light = torch.zeros(1, 1, 16)
    batch = torch.export.Dim.DYNAMIC
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patterns.onnx"
        torch.onnx.export(
            bank,
            (light.repeat(2, 1, 1), torch.ones(2, 1)),
            file,
            input_names=["LIGHT", "ASPECT"],
            dynamic_shapes=({0: batch}, {0: batch}),
            external_data=False,
            verbose=False,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options)
    feeds = []
    for number in range(1, 11):
        row = light.numpy().copy()
        row[..., 7], row[..., 8], row[..., 9], row[..., 14] = number, 0.7, 5.0, number
        feeds.append({"LIGHT": row, "ASPECT": np.ones((1, 1), np.float32)})
    rounds = []
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        for feed in feeds:
            session.run(None, feed)
        rounds.append((time.process_time() - started) / len(feeds) * 1000)
    return statistics.median(rounds[1:])


def measure_requests() -> tuple[float, float, float]:
    """Seconds for one light, LIGHTS lights in one request, and LIGHTS requests, through the embedded server."""
    photo = (ROOT / "samples" / "grace_hopper.jpg").read_bytes()
    options = Options(ROOT / "model_repository", this_machine(gpus=0), grpc_port=0, http_port=0, metrics_port=0)
    with embedded_server(options) as server, triton.InferenceServerClient(server.grpc_url) as client:

        def ask(light: npt.NDArray[np.float32]) -> None:
            inputs = [
                text_input("IMAGE", photo),
                text_input("PROMPT", b"person"),
                float_input("THRESHOLDS", np.array([[0.5, 0.5]], np.float32)),
                float_input("LIGHT", light),
                text_input("FILES", b"output;png"),
            ]
            client.infer("relight", inputs, outputs=[triton.InferRequestedOutput("OUTPUT")])

        def ask_each(lights: npt.NDArray[np.float32]) -> None:
            for k in range(LIGHTS):
                ask(lights[:, k : k + 1])

        lights = many_lights()
        one: list[float] = []
        together: list[float] = []
        apart: list[float] = []
        for _ in range(ROUNDS + 1):
            one.append(seconds(lambda: ask(lights[:, :1])))
            together.append(seconds(lambda: ask(lights)))
            apart.append(seconds(lambda: ask_each(lights)))
    return statistics.median(one[1:]), statistics.median(together[1:]), statistics.median(apart[1:])


def many_lights() -> npt.NDArray[np.float32]:
    """LIGHTS lights around the head, each with another pattern; float32 [1,LIGHTS,16]."""
    light = np.zeros((1, LIGHTS, 16), np.float32)
    angle = np.linspace(0.0, 2.0 * np.pi, LIGHTS, endpoint=False)
    light[0, :, 0], light[0, :, 1], light[0, :, 2] = 0.7 * np.cos(angle), 0.7 * np.sin(angle), 0.714
    light[..., 3], light[..., 4], light[..., 6] = 0.4, 1.0, 32.0
    light[0, :, 7] = np.arange(1, LIGHTS + 1)
    light[..., 8], light[..., 9], light[..., 10], light[..., 11:14], light[..., 15] = 0.7, 5.0, 0.2, 1.0, 128.0
    return light


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def text_input(name: str, value: bytes) -> triton.InferInput:
    """A STRING[1] input of batch 1."""
    tensor = triton.InferInput(name, [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[value]], dtype=object))
    return tensor


def float_input(name: str, value: npt.NDArray[np.float32]) -> triton.InferInput:
    """An FP32 input."""
    tensor = triton.InferInput(name, list(value.shape), "FP32")
    tensor.set_data_from_numpy(value)
    return tensor
