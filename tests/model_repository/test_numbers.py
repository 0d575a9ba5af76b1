"""What decode promises of the numbers: none that no picture can have reaches a network, whoever sends it."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from contract.light import LIGHT, SCENE, position
from contract.names import DECODE
from server.embedded import RunningServer
from tests.rig.places import SAMPLES
from tests.rig.requests import TIMEOUT, lights, request

PHOTO = (SAMPLES / "grace_hopper.jpg").read_bytes()


def answer(server: RunningServer, **tensors: npt.NDArray[np.float32]) -> None:
    """Ask for two pictures with some of the tensors replaced. Raises InferenceServerException."""
    inputs = [one for one in request(tritonclient.grpc, PHOTO, lights(2)) if one.name() not in tensors]
    for name, value in tensors.items():
        given = tritonclient.grpc.InferInput(name, list(value.shape), "FP32")
        inputs.append(given.set_data_from_numpy(value))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        client.infer(DECODE, inputs, client_timeout=TIMEOUT)


@pytest.mark.parametrize(
    ("tensor", "name", "value", "sentence"),
    [
        (LIGHT, "direction_x", math.nan, r"LIGHT[1,0,0] (direction_x) must be a number from -1 to 1, not nan."),
        (LIGHT, "direction_z", -1.5, "LIGHT[1,0,2] (direction_z) must be a number from -1 to 1, not -1.5."),
        (LIGHT, "shininess", 0.0, "LIGHT[1,0,8] (shininess) must be a number from 1 to 1000, not 0.0."),
        (LIGHT, "pattern_id", 1.5, "LIGHT[1,0,9] (pattern_id) must be a whole number from 0 to 16777215, not 1.5."),
        (LIGHT, "pattern_id", 9999.0, "the server has no pattern 9999; it has 1 tree_foliage, 2 venetian_blinds,"),
        (LIGHT, "angular_size", 91.0, "LIGHT[1,0,13] (angular_size) must be a number from 0 to 90, not 91.0."),
        (SCENE, "irradiance_0_red", -1.0, "SCENE[1,0] (irradiance_0_red) must be a number from 0 to 10, not -1.0."),
        (
            SCENE,
            "irradiance_8_blue",
            21.0,
            "SCENE[1,26] (irradiance_8_blue) must be a number from -20 to 20, not 21.0.",
        ),
        (SCENE, "relief", math.inf, "SCENE[1,27] (relief) must be a number from 0 to 10, not inf."),
        (SCENE, "gray", 999.0, "SCENE[1,29] (gray) must be a whole number from 0 to 255, not 999.0."),
        (SCENE, "background", 4.0, "SCENE[1,31] (background) must be a whole number from 0 to 3, not 4.0."),
        (SCENE, "arithmetic", 1.0, "SCENE's arithmetic is one for all pictures of a photo: send other ones in another"),
        (SCENE, "background", 2.0, "SCENE's background is one for all pictures of a photo: send other ones in another"),
    ],
)
def test_a_number_out_of_its_range_is_refused_by_name(
    server: RunningServer, tensor: str, name: str, value: float, sentence: str
) -> None:
    rows = lights(2)[tensor]
    rows[0, 1, ..., position(name)] = value
    with pytest.raises(InferenceServerException) as refused:
        answer(server, **{tensor: rows})
    assert sentence in str(refused.value)


def test_every_source_has_a_direction_of_length_one(server: RunningServer) -> None:
    rows = lights(2)[LIGHT].repeat(3, axis=2)
    answer(server, LIGHT=rows)
    rows[0, 1, 2, :3] = 0.0
    with pytest.raises(InferenceServerException, match=r"LIGHT\[1,2,0:3\] \(direction\) must have length 1, not 0"):
        answer(server, LIGHT=rows)


def test_every_picture_has_sources_and_a_scene(server: RunningServer) -> None:
    with pytest.raises(
        InferenceServerException, match="the sources of 2 pictures, 1 of each, and SCENE has 1 rows: send"
    ):
        answer(server, SCENE=lights(1)[SCENE])
    with pytest.raises(
        InferenceServerException, match="the sources of 2 pictures, 0 of each, and SCENE has 2 rows: send"
    ):
        answer(server, LIGHT=lights(2)[LIGHT][:, :, :0])
    with pytest.raises(InferenceServerException):
        answer(server, LIGHT=lights(2)[LIGHT][:, :0], SCENE=lights(2)[SCENE][:, :0])


@pytest.mark.parametrize("thresholds", [(math.nan, 0.5), (0.5, 1.5), (-0.1, 0.5)])
def test_thresholds_are_shares(server: RunningServer, thresholds: tuple[float, float]) -> None:
    with pytest.raises(InferenceServerException, match=r"THRESHOLDS \(score, mask\) must be numbers from 0 to 1"):
        answer(server, THRESHOLDS=np.array([thresholds], np.float32))
