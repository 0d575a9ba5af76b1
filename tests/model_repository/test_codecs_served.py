"""What decode and encode promise in a real Triton: FILES, BACKDROP and every file, without a network between them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
from PIL import Image
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from contract.light import BACKGROUNDS
from contract.names import DECODE, PER_LIGHT, PICTURES
from server.embedded import RunningServer
from tests.rig.exr import channels
from tests.rig.photos import png, portrait
from tests.rig.png import read_by_opencv
from tests.rig.requests import TIMEOUT, lights, request

Array = npt.NDArray[Any]
PICTURE = BACKGROUNDS.index("picture")
WIDTH, HEIGHT = 48, 40
DATA = ("normal", "depth", "alpha", "shading")


def decode(server: RunningServer, files: bytes, background: int = 0, backdrop: bytes = b"") -> dict[str, Array]:
    """decode's answer for two pictures of a photo. Raises InferenceServerException."""
    photo = png(portrait(WIDTH, HEIGHT))
    inputs = request(tritonclient.grpc, photo, lights(2, background=background), files, backdrop=backdrop)
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        answer = client.infer(DECODE, inputs, client_timeout=TIMEOUT)
        return {name: answer.as_numpy(name) for name in ("ORIGINAL", "PLANES", "BACKDROP_PIXELS")}


def encode(
    server: RunningServer, files: bytes, planes: int = 1, changed: Mapping[str, Array] | None = None
) -> dict[str, list[bytes]]:
    """encode's files for two pictures of a gray photo. Raises InferenceServerException."""
    size = (HEIGHT, WIDTH)
    tensors: dict[str, Array] = {
        "ORIGINAL": np.full((1, *size, 3), 100, np.uint8),
        "OUTPUT_PIXELS": np.full((1, 2, planes, *size, 3), 40, np.uint8),
        "DEGRADED_PIXELS": np.full((1, 2, planes, *size, 3), 30, np.uint8),
        "ALBEDO_OUT": np.full((1, planes, *size, 3), 50, np.uint8),
        "MASK": np.full((1, *size), 255, np.uint8),
        "ALPHA": np.ones((1, 1, 288, 288), np.float32),
        "SHADING": np.ones((1, 2, 6, 518, 518), np.float16),
        "NORMAL": np.ones((1, 3, 518, 518), np.float16),
        "HEIGHT": np.zeros((1, 1, 518, 518), np.float16),
        "FRAME": np.array([[WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT]], np.int32),
        "BACKDROP_PIXELS": np.zeros((1, 1, 1, 3), np.uint8),
        "SCORE": np.full((1, 1), 0.75, np.float32),
        "BOX": np.array([[0, 0, 1, 1]], np.float32),
        "COUNT": np.ones((1, 1), np.int32),
        "RESIDUAL": np.zeros((1, 1), np.float32),
        **lights(2),
        "FILES": np.array([[files]], np.object_),
        **(changed or {}),
    }
    inputs = []
    for name, array in tensors.items():
        tensor = tritonclient.grpc.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        inputs.append(tensor.set_data_from_numpy(array))
    with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
        answer = client.infer("encode", inputs, client_timeout=TIMEOUT)
        names = [output.name for output in answer.get_response().outputs]
        return {name.removesuffix("_FILE").lower(): list(answer.as_numpy(name)[0]) for name in names}


@pytest.mark.parametrize(
    ("files", "planes"), [(b"output", [0]), (b"output;jpeg:90", [0]), (b"output;png:16", [1, 2]), (b"mask;exr", [1, 2])]
)
def test_decode_says_how_recombine_is_to_finish_the_pixels(
    server: RunningServer, files: bytes, planes: list[int]
) -> None:
    answer = decode(server, files)
    assert answer["PLANES"].tolist() == [planes]
    assert answer["BACKDROP_PIXELS"].shape == (1, 1, 1, 3)


@pytest.mark.parametrize(("width", "height"), [(96, 80), (400, 80), (20, 10), (WIDTH, HEIGHT)])
def test_a_background_picture_covers_the_photo_and_is_cut_in_the_middle(
    server: RunningServer, width: int, height: int
) -> None:
    """Its columns are as bright as they are far from the middle one."""
    columns = np.abs(np.arange(width) + 0.5 - width / 2) * 240 / width
    picture = Image.fromarray(np.repeat(np.rint(columns).astype(np.uint8)[np.newaxis], height, 0)).convert("RGB")
    found = decode(server, b"output", PICTURE, png(picture))["BACKDROP_PIXELS"]
    assert found.shape == (1, HEIGHT, WIDTH, 3)
    scale = max(WIDTH / width, HEIGHT / height)
    expected = np.abs(np.arange(WIDTH) + 0.5 - WIDTH / 2) * 240 / width / scale
    assert np.abs(found[0] - expected[:, np.newaxis]).max() <= 240 / width + 1


@pytest.mark.parametrize(
    ("files", "background", "backdrop", "sentence"),
    [
        (b"everything", 0, b"", "FILES asks for 'everything': choose from output, degraded,"),
        (b"output;tiff", 0, b"", "FILES asks for the format 'tiff': choose from png, png:16, jpeg,"),
        (b"output;png;side=9", 0, b"", "FILES asks for 'side=9': choose from size=N, crop=none|center|person,"),
        (b"output;png;min_side=41", 0, b"", "The photo is 48 x 40: its short side is below min_side=41."),
        (b"output", PICTURE, b"", "BACKDROP is empty: send a picture's file."),
        (
            b"output",
            0,
            png(Image.new("RGB", (9, 9))),
            "BACKDROP is a picture that nothing uses: make SCENE's background 3",
        ),
        (b"output", PICTURE, b"%PDF-1.7" + bytes(50), "The background picture cannot be used: this kind of file"),
        (
            b"output",
            PICTURE,
            png(portrait(60, 60))[:999],
            "The background picture cannot be used: the file is truncated",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_before_a_network_works(
    server: RunningServer, files: bytes, background: int, backdrop: bytes, sentence: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        decode(server, files, background, backdrop)
    assert sentence in str(refused.value.message())
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize(("wanted", "planes"), [("png", 1), ("jpeg:90", 1), ("png:16", 2), ("exr", 2)])
def test_encode_gives_every_file_in_every_format(server: RunningServer, wanted: str, planes: int) -> None:
    files = encode(server, f"{','.join(PICTURES)};{wanted}".encode(), planes)
    assert {name: len(found) for name, found in files.items()} == {
        **{name: 2 if name in PER_LIGHT else 1 for name in PICTURES},
        "info": 1,
    }
    kind = wanted.partition(":")[0]
    for name in PICTURES:
        data = kind == "exr" if name in DATA else name == "environment"
        for file in files[name]:
            if name == "environment":
                assert channels(file)["RGB"].shape == (32, 64, 3)
            elif data or (kind == "exr" and name != "mask"):
                assert {values.shape[:2] for values in channels(file).values()} == {(HEIGHT, WIDTH)}
            else:
                assert read_by_opencv(file).shape[:2] == (HEIGHT, WIDTH)
    assert json.loads(files["info"][0])["width"] == WIDTH


def test_the_input_is_the_photo_in_the_depth_asked_for(server: RunningServer) -> None:
    linear = ((100 / 255 + 0.055) / 1.055) ** 2.4
    assert (read_by_opencv(encode(server, b"input")["input"][0]) == 100).all()
    deep = read_by_opencv(encode(server, b"input;png:16", 2)["input"][0])
    assert np.abs(deep / 65_535 - linear).max() < 1e-4
    assert np.abs(channels(encode(server, b"input;exr", 2)["input"][0])["RGB"] - linear).max() < 1e-3


def test_the_output_lies_over_the_background_of_the_first_picture(server: RunningServer) -> None:
    """The person is the left half."""
    mask = np.zeros((1, HEIGHT, WIDTH), np.uint8)
    mask[..., : WIDTH // 2] = 255
    backdrop = np.full((1, HEIGHT, WIDTH, 3), 90, np.uint8)
    for background, right in (("gray", 40), ("picture", 90)):
        scene = lights(2, background=BACKGROUNDS.index(background))
        changed: dict[str, Array] = {"MASK": mask, "BACKDROP_PIXELS": backdrop, **scene}
        (first, second) = encode(server, b"output", changed=changed)["output"]
        assert first == second
        found = read_by_opencv(first)
        assert (found[:, WIDTH // 2 :] == right).all()
        assert (found[:, : WIDTH // 2] == (40 if background == "gray" else 30)).all()


def test_every_file_is_cut_alike_around_the_person(server: RunningServer) -> None:
    """No two columns are alike."""
    columns = np.arange(WIDTH, dtype=np.uint8)[:, np.newaxis]
    shape = (HEIGHT, WIDTH, 3)
    maps = np.linspace(0, 1, 518, dtype=np.float16)
    changed: dict[str, Array] = {
        "ORIGINAL": np.broadcast_to(columns * 3, (1, *shape)),
        "OUTPUT_PIXELS": np.broadcast_to(columns * 4, (1, 2, 1, *shape)),
        "DEGRADED_PIXELS": np.broadcast_to(columns + 7, (1, 2, 1, *shape)),
        "ALBEDO_OUT": np.broadcast_to(columns + 99, (1, 1, *shape)),
        "MASK": np.broadcast_to(columns[:, 0] * 5, (1, HEIGHT, WIDTH)),
        "SHADING": np.broadcast_to(maps, (1, 2, 6, 518, 518)),
        "HEIGHT": np.broadcast_to(maps, (1, 1, 518, 518)),
        "BOX": np.array([[0.3, 0, 0.8, 1]], np.float32),
        "FRAME": np.array([[1000, 400, 0, 0, 960, 400]], np.int32),
    }
    changed = {name: np.ascontiguousarray(array) for name, array in changed.items()}
    names = ",".join(name for name in PICTURES if name != "environment")
    all_of_it, square = (
        encode(server, f"{names};png{rules}".encode(), changed=changed) for rules in ("", ";crop=person")
    )
    left = round(0.55 * WIDTH - HEIGHT / 2)
    for name in names.split(","):
        for one, other in zip(all_of_it[name], square[name], strict=True):
            assert np.array_equal(read_by_opencv(other), read_by_opencv(one)[:, left : left + HEIGHT]), name
    info = json.loads(square["info"][0])
    assert (info["width"], info["height"], info["original"]) == (HEIGHT, HEIGHT, [1000, 400])
    assert info["crop"] == [left * 20, 0, (left + HEIGHT) * 20, 400]
    assert np.allclose(info["box"], [(0.3 * WIDTH - left) / HEIGHT, 0, (0.8 * WIDTH - left) / HEIGHT, 1])


@pytest.mark.parametrize(
    ("files", "changed", "sentence"),
    [
        (b"output;png:16", {}, "OUTPUT_PIXELS is [2,1,40,48,3] and must be [2,2,40,48,3]"),
        (b"output", {"MASK": np.zeros((1, 5, 5), np.uint8)}, "MASK is [5,5] and must be [40,48]"),
        (
            b"output",
            {"SHADING": np.ones((1, 3, 6, 518, 518), np.float16)},
            "SHADING is [3,6,518,518] and must be [2,6,",
        ),
        (b"output", lights(2, background=PICTURE), "BACKDROP_PIXELS is [1,1,3] and the photo [40,48,3]"),
        (b"environment", lights(2, irradiance_1_red=np.nan), "SCENE[0,3] (irradiance_1_red) must be a number from"),
        (b"outputs", {}, "FILES asks for 'outputs'"),
    ],
)
def test_tensors_that_do_not_fit_together_are_their_senders_fault(
    server: RunningServer, files: bytes, changed: dict[str, Array], sentence: str
) -> None:
    with pytest.raises(InferenceServerException) as refused:
        encode(server, files, changed=changed)
    assert sentence in str(refused.value.message())
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
