"""What the ensemble promises of 16 bits, EXR and backgrounds: the same picture in each."""

import numpy as np
import pytest
import tritonclient.grpc

from contract.light import BACKGROUNDS
from server.embedded import RunningServer
from tests.rig.exr import channels
from tests.rig.photos import png, portrait
from tests.rig.png import read_by_opencv
from tests.rig.requests import ask, lights, request


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_8_bits_16_bits_and_an_exr_hold_the_same_picture(server: RunningServer, background: str) -> None:
    photo, backdrop = (png(portrait(64, 80, name)) for name in ("astronaut.png", "grace_hopper.jpg"))
    light = lights(2, background=BACKGROUNDS.index(background), irradiance_1_red=-0.3, intensity=0.2)  # none is white
    names = "output,albedo,normal,depth,alpha,shading,environment"
    given = backdrop if background == "picture" else b""
    shallow, deep, floats = (
        ask(server, request(tritonclient.grpc, photo, light, f"{names};{wanted}".encode(), backdrop=given))
        for wanted in ("png", "png:16", "exr")
    )
    for name in ("OUTPUT", "ALBEDO"):
        linear = channels(floats[name][0, 0])["RGB"].astype(float)
        assert np.abs(read_by_opencv(deep[name][0, 0]) / 65_535 - np.minimum(linear, 1)).max() < 1e-3
        srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        assert np.abs(read_by_opencv(shallow[name][0, 0]) - 255 * np.minimum(srgb, 1)).max() < 1.1
    normal = channels(floats["NORMAL"][0, 0])["RGB"]
    assert np.abs(np.linalg.norm(normal, axis=-1) - 1).max() < 1e-4
    assert shallow["ENVIRONMENT"].tolist() == floats["ENVIRONMENT"].tolist()
    assert channels(floats["ENVIRONMENT"][0, 1])["RGB"].shape == (32, 64, 3)
