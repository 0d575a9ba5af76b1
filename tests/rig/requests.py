"""Requests to the ensemble as any Triton client makes them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from contract.light import CHANNELS, LIGHT, SCENE, row_of
from contract.names import ENSEMBLE, PICTURES
from server.embedded import RunningServer

FILES = b"output,albedo,mask;png"
TIMEOUT = 120.0  # seconds for one answer; a batch takes about one
OUTPUTS = tuple(name.upper() for name in PICTURES)
Answer = dict[str, Any]  # output → its array, [1, …]
Rows = dict[str, npt.NDArray[np.float32]]  # LIGHT and SCENE


def lights(count: int, seed: int = 0, **scene: float) -> Rows:
    """LIGHT float32 [1,count,1,16] and SCENE [1,count,32]: white light from somewhere in front, without a pattern."""
    direction = np.random.default_rng(seed).normal(size=(count, 3))
    direction[:, 2] = np.abs(direction[:, 2])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    around = {f"irradiance_0_{channel}": 0.6 for channel in CHANNELS} | {"albedo_blend": 0.2} | scene
    rows = [{"direction_x": x, "direction_y": y, "direction_z": z, "intensity": 0.4} for x, y, z in direction.tolist()]
    light = np.array([[row_of(LIGHT, row)] for row in rows], np.float32)
    return {LIGHT: light[np.newaxis], SCENE: np.array([[row_of(SCENE, around)] * count], np.float32)}


def request(
    protocol: Any,
    photo: bytes | list[bytes],
    light: Rows | None = None,
    files: bytes = FILES,
    score: float = 0.0,
    backdrop: bytes = b"",
) -> list[Any]:
    """The inputs of a request for one photo, or for several of one size."""
    photos = photo if isinstance(photo, list) else [photo]
    values: dict[str, tuple[npt.NDArray[Any], str]] = {
        "IMAGE": (np.array([[one] for one in photos], np.object_), "BYTES"),
        "PROMPT": (np.array([[b"person"]] * len(photos), np.object_), "BYTES"),
        "THRESHOLDS": (np.array([[score, 0.5]] * len(photos), np.float32), "FP32"),
        **{name: (np.repeat(rows, len(photos), axis=0), "FP32") for name, rows in (light or lights(1)).items()},
        "FILES": (np.array([[files]] * len(photos), np.object_), "BYTES"),
        "BACKDROP": (np.array([[backdrop]] * len(photos), np.object_), "BYTES"),
    }
    tensors = []
    for name, (value, datatype) in values.items():
        tensor = protocol.InferInput(name, list(value.shape), datatype)
        tensor.set_data_from_numpy(value)
        tensors.append(tensor)
    return tensors


def ask(server: RunningServer, inputs: list[Any]) -> Answer:
    """One unary gRPC call for every output. Raises InferenceServerException."""
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        result = client.infer(ENSEMBLE, inputs, client_timeout=TIMEOUT)
        return {name: result.as_numpy(name) for name in (*OUTPUTS, "INFO")}


def ask_all(server: RunningServer, requests: list[list[Any]]) -> list[Answer | str]:
    """Send requests at once; return each one's answer, or the words of its refusal."""

    def outcome(inputs: list[Any]) -> Answer | str:
        try:
            return ask(server, inputs)
        except InferenceServerException as error:
            return str(error.message())

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(outcome, requests))
