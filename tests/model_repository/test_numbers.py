"""What the ensemble promises of its numbers: none that no light can have reaches a network, whoever sends it."""

import math

import numpy as np
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from contract.light import LIGHT, SCENE, position
from server.embedded import RunningServer
from tests.rig.places import SAMPLES
from tests.rig.requests import TIMEOUT, lights, request

PHOTO = (SAMPLES / "grace_hopper.jpg").read_bytes()


def answer(server: RunningServer, **tensors: np.ndarray) -> None:  # type: ignore[type-arg]
    """Ask with some of the tensors replaced. Raises InferenceServerException."""
    inputs = [one for one in request(tritonclient.grpc, PHOTO, lights(2)) if one.name() not in tensors]
    for name, value in tensors.items():
        given = tritonclient.grpc.InferInput(name, list(value.shape), "FP32")
        inputs.append(given.set_data_from_numpy(value))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        client.infer("relight", inputs, client_timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("tensor", "name", "value", "sentence"),
    [
        (LIGHT, "direction_x", math.nan, r"LIGHT[1,0] (direction_x) must be a number from -1 to 1, not nan."),
        (LIGHT, "direction_z", -0.5, "LIGHT[1,2] (direction_z) must be a number from 0 to 1, not -0.5."),
        (LIGHT, "shininess", 0.0, "LIGHT[1,8] (shininess) must be a number from 1 to 1000, not 0.0."),
        (LIGHT, "pattern_id", 1.5, "LIGHT[1,9] (pattern_id) must be a whole number from 0 to 16777215, not 1.5."),
        (LIGHT, "pattern_id", 9999.0, "the server has no pattern 9999; it has 1 tree_foliage, 2 venetian_blinds,"),
        (SCENE, "ambient", 7.0, "SCENE[1,0] (ambient) must be a number from 0 to 1, not 7.0."),
        (SCENE, "relief", math.inf, "SCENE[1,27] (relief) must be a number from 0 to 10, not inf."),
        (SCENE, "gray", 999.0, "SCENE[1,29] (gray) must be a whole number from 0 to 255, not 999.0."),
    ],
)
def test_a_number_out_of_its_range_is_refused_by_name(
    server: RunningServer, tensor: str, name: str, value: float, sentence: str
) -> None:
    rows = lights(2)[tensor]
    rows[0, 1, position(name)] = value
    with pytest.raises(InferenceServerException) as refused:
        answer(server, **{tensor: rows})
    assert sentence in str(refused.value)


def test_a_direction_has_length_one(server: RunningServer) -> None:
    rows = lights(2)[LIGHT]
    rows[0, 0, :3] = 0.0
    with pytest.raises(InferenceServerException, match=r"LIGHT\[0,0:3\] \(direction\) must have length 1, not 0"):
        answer(server, LIGHT=rows)


def test_elements_without_a_meaning_are_zero(server: RunningServer) -> None:
    rows = lights(2)[SCENE]
    rows[0, 0, 5] = 0.25
    with pytest.raises(InferenceServerException, match=r"SCENE\[0,5\] has no meaning and must be 0, not 0.25"):
        answer(server, SCENE=rows)


def test_every_picture_has_a_light_and_a_scene(server: RunningServer) -> None:
    with pytest.raises(InferenceServerException, match="LIGHT has 2 rows a photo and SCENE 1"):
        answer(server, SCENE=lights(1)[SCENE])
    none = np.zeros((1, 0, 16), np.float32)
    with pytest.raises(InferenceServerException):
        answer(server, LIGHT=none, SCENE=np.zeros((1, 0, 32), np.float32))


@pytest.mark.parametrize("thresholds", [(math.nan, 0.5), (0.5, 1.5), (-0.1, 0.5)])
def test_thresholds_are_shares(server: RunningServer, thresholds: tuple[float, float]) -> None:
    with pytest.raises(InferenceServerException, match=r"THRESHOLDS \(score, mask\) must be numbers from 0 to 1"):
        answer(server, THRESHOLDS=np.array([thresholds], np.float32))
