"""What light costs: the ten shadow patterns, eight lights in one request, and three sources in each."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import tritonclient.grpc as triton

from benchmarks import SAMPLES
from benchmarks.path.client import median_of
from benchmarks.rig.lights import Light, around, light_tensors, pattern_alone
from benchmarks.rig.report import Figure, Parser, show
from benchmarks.rig.triton import ask_for, serving, to_inputs
from contract.light import LIGHT
from contract.names import ENSEMBLE
from export.networks.pattern_bank import PatternBank

LIGHTS, SOURCES, ROUNDS = 8, 3, 5


def main(arguments: Sequence[str]) -> int:
    """Measure and print; medians of ROUNDS rounds."""
    options = Parser("lights", str(__doc__), "--json lights.json").parse_args(arguments)
    one, together, apart, lit = measure_requests()
    figures = [
        Figure("a pattern, one core, per photo", measure_patterns(), "CPU-ms", "under 30"),
        Figure("one light in one request", one * 1000, "ms", "-"),
        Figure(f"{LIGHTS} lights in one request", together * 1000, "ms", "-"),
        Figure(f"{LIGHTS} requests of one light", apart * 1000, "ms", "-"),
        Figure(f"{LIGHTS} in one ÷ {LIGHTS} requests", together / apart, "ratio", f"{1 / LIGHTS:.3f}"),
        Figure(f"{LIGHTS} lights of {SOURCES} sources in one request", lit * 1000, "ms", "-"),
        Figure(f"{SOURCES} sources ÷ one", lit / together, "ratio", "at most 1.5"),
    ]
    show("Light", figures, options.json)
    return 0


def measure_patterns() -> float:
    """CPU-milliseconds of one pattern per photo, the mean of all ten, on one core."""
    aspect = np.ones((1, 1), np.float32)
    feeds = [{LIGHT: light_tensors([[pattern_alone(n)]])[LIGHT][:, :, 0], "ASPECT": aspect} for n in range(1, 11)]
    example = {name: torch.from_numpy(np.repeat(value, 2, axis=0)) for name, value in feeds[0].items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "patterns.onnx"
        torch.onnx.export(
            PatternBank().eval(),
            tuple(example.values()),
            file,
            input_names=list(example),
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in example),
            external_data=False,
            verbose=False,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options)

    def draw_all() -> None:
        for feed in feeds:
            session.run(None, feed)

    draw_all()
    return median_of(ROUNDS, draw_all) / len(feeds) * 1000


def measure_requests() -> tuple[float, float, float, float]:
    """Seconds for one light, LIGHTS in one request, in as many requests, and in one with SOURCES sources each.

    Through the embedded server.
    """
    photo, lights = (SAMPLES / "grace_hopper.jpg").read_bytes(), around(LIGHTS)
    several = around(LIGHTS, SOURCES)
    with serving() as server, triton.InferenceServerClient(server.grpc_url) as client:

        def ask(some: Sequence[Light]) -> object:
            inputs = to_inputs(ask_for(photo, some, files="output;png"))
            return client.infer(ENSEMBLE, inputs, outputs=[triton.InferRequestedOutput("OUTPUT")])

        def measure() -> list[float]:
            actions = (
                lambda: ask(lights[:1]),
                lambda: ask(lights),
                lambda: [ask([light]) for light in lights],
                lambda: ask(several),
            )
            return [median_of(1, action, time.perf_counter) for action in actions]

        measure()  # warm-up
        one, together, apart, lit = np.median([measure() for _ in range(ROUNDS)], axis=0).tolist()
    return one, together, apart, lit
