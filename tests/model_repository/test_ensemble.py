"""What the ensemble promises to any Triton client: tritonclient over gRPC and HTTP, and curl."""

import io
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from contract.names import MODELS, PER_LIGHT
from server.embedded import RunningServer
from tests.rig.photos import portrait
from tests.rig.places import SAMPLES
from tests.rig.requests import OUTPUTS, TIMEOUT, Answer, ask, ask_all, lights, request


def pixels(file: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(file)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def deep_png(image: Image.Image) -> bytes:
    """16 bits per channel, which Pillow cannot write."""
    bgr = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    return bytes(cv2.imencode(".png", bgr)[1])


def turned(image: Image.Image) -> bytes:
    """As a camera held upright stores it: lying on its side, with a note to turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(image.rotate(90, expand=True), "JPEG", quality=95, exif=exif.tobytes())


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: saved(image, "JPEG", quality=95),
    "JPEG CMYK": lambda image: saved(image.convert("CMYK"), "JPEG", quality=95),
    "JPEG turned": turned,
    "PNG": saved,
    "PNG 16 bits": deep_png,
    "PNG palette": lambda image: saved(image.quantize(256)),
    "PNG alpha": lambda image: saved(image.convert("RGBA")),
    "WebP": lambda image: saved(image, "WEBP", quality=95),
    "BMP": lambda image: saved(image, "BMP"),
    "TIFF": lambda image: saved(image, "TIFF"),
    "GIF": lambda image: saved(image, "GIF"),
    "AVIF": lambda image: saved(image, "AVIF", quality=95),
}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_unmodified_tritonclient_gets_the_files_it_asks_for(server: RunningServer, protocol: str) -> None:
    module = {"grpc": tritonclient.grpc, "http": tritonclient.http}[protocol]
    url = {"grpc": server.grpc_url, "http": server.http_url}[protocol]
    with module.InferenceServerClient(url) as client:
        inputs = request(module, (SAMPLES / "grace_hopper.jpg").read_bytes(), lights(3))
        answer = client.infer("relight", inputs)
        files = {name: answer.as_numpy(name) for name in OUTPUTS}
    with Image.open(SAMPLES / "grace_hopper.jpg") as photo:
        width, height = photo.size

    assert {name: array.shape for name, array in files.items()} == {
        name: (1, 3) if name.lower() in PER_LIGHT else (1, 1) for name in OUTPUTS
    }
    assert {pixels(file).shape for file in files["OUTPUT"][0]} == {(height, width, 3)}
    assert len(set(files["OUTPUT"][0])) == 3  # three lights, three pictures
    assert pixels(files["ALBEDO"][0, 0]).shape == (height, width, 3)
    assert pixels(files["MASK"][0, 0]).shape == (height, width)
    others = set(OUTPUTS) - {"OUTPUT", "ALBEDO", "MASK"}
    assert all(file == b"" for name in others for file in files[name].flat)
    info = json.loads(answer.as_numpy("INFO")[0, 0])
    assert (info["width"], info["height"], info["count"]) == (width, height, 1)
    assert 0 < info["score"] <= 1
    assert info["models"].keys() == {"segment", "albedo", "shadow", "recombine"}


def fetch(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """GET, or POST a body, with curl; where curl is not installed, the same request with urllib."""
    if shutil.which("curl") is None:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=TIMEOUT) as reply:
            content: bytes = reply.read()
            return content
    options = [option for name, value in (headers or {}).items() for option in ("-H", f"{name}: {value}")]
    post = ["--data-binary", "@-"] if body is not None else []
    command = ["curl", "-sS", "--fail", *options, *post, url]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout


def test_curl_gets_a_picture(server: RunningServer) -> None:
    assert fetch(f"http://{server.http_url}/v2/health/ready") == b""

    photo = saved(portrait(64, 80))
    texts = {"IMAGE": photo, "PROMPT": b"person", "FILES": b"output;png", "BACKDROP": b""}
    binary = {name: len(text).to_bytes(4, "little") + text for name, text in texts.items()}
    header = json.dumps(
        {
            "inputs": [
                *(
                    {"name": n, "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
                    for n, data in binary.items()
                ),
                {"name": "THRESHOLDS", "shape": [1, 2], "datatype": "FP32", "data": [0.0, 0.5]},
                *(
                    {"name": name, "shape": rows.shape, "datatype": "FP32", "data": rows.flatten().tolist()}
                    for name, rows in lights(1).items()
                ),
            ],
            "outputs": [{"name": "OUTPUT", "parameters": {"binary_data": True}}],
        }
    ).encode()
    url = f"http://{server.http_url}/v2/models/relight/infer"
    reply = fetch(url, b"".join((header, *binary.values())), {"Inference-Header-Content-Length": str(len(header))})
    assert pixels(reply[reply.index(b"\x89PNG") :]).shape == (80, 64, 3)


def test_one_broken_photo_in_a_batch_fails_alone(server: RunningServer) -> None:
    def executions() -> int:
        with tritonclient.grpc.InferenceServerClient(server.grpc_url) as client:
            return int(client.get_inference_statistics("decode").model_stats[0].execution_count)

    photos = [saved(portrait(96, 120)) for _ in range(8)]
    photos[4] = (SAMPLES / "damaged.jpg").read_bytes()
    before = executions()
    answers = ask_all(server, [request(tritonclient.grpc, photo) for photo in photos])
    assert executions() - before < len(photos)  # else none shared a batch
    assert [index for index, answer in enumerate(answers) if isinstance(answer, str)] == [4]
    assert "The file is truncated" in str(answers[4])


def test_a_photo_that_scores_too_low_is_refused_alone_and_told_its_score(server: RunningServer) -> None:
    photo = saved(portrait(96, 120))
    strict, lenient = (request(tritonclient.grpc, photo, score=score) for score in (0.999, 0.0))
    refusal, answer = ask_all(server, [strict, lenient])
    assert not isinstance(answer, str)
    best = json.loads(answer["INFO"][0, 0])["score"]
    assert f"best score {best:.2f}" in str(refusal)


def refused_requests(protocol: Any) -> dict[str, tuple[list[Any], str]]:
    """A name → the inputs of a request that must be refused, and a word of the sentence."""
    photo = saved(portrait(64, 80))
    damaged = (SAMPLES / "damaged.jpg").read_bytes()
    no_prompt = request(protocol, photo)
    no_prompt[1].set_data_from_numpy(np.array([[b" "]], np.object_))
    return {
        "damaged photo": (request(protocol, damaged), "The file is truncated"),
        "kind that is not read": (request(protocol, b"%PDF-1.7" + bytes(50)), "convert it to JPEG or PNG"),
        "empty prompt": (no_prompt, "The prompt is empty"),
        "bad number": (request(protocol, photo, score=7.0), "must be numbers from 0 to 1"),
        "bad FILES": (request(protocol, photo, files=b"everything"), "choose from"),
        "nobody found": (request(protocol, photo, score=0.9999), "best score"),
    }


@pytest.mark.parametrize(("protocol", "status"), [("grpc", "StatusCode.INVALID_ARGUMENT"), ("http", "400")])
def test_what_is_wrong_with_a_request_is_its_senders_fault(server: RunningServer, protocol: str, status: str) -> None:
    module = {"grpc": tritonclient.grpc, "http": tritonclient.http}[protocol]
    url = {"grpc": server.grpc_url, "http": server.http_url}[protocol]
    before = failures_of_models(server)
    with module.InferenceServerClient(url) as client:
        for name, (inputs, sentence) in refused_requests(module).items():
            with pytest.raises(InferenceServerException, match=re.escape(sentence)) as refusal:
                client.infer("relight", inputs)
            assert refusal.value.status() == status, name
    assert failures_of_models(server) == before  # what the alert that pages counts


def failures_of_models(server: RunningServer) -> float:
    """Failures of all models but the ensemble, as Prometheus reads them."""
    with urllib.request.urlopen(f"http://{server.metrics_url}/metrics", timeout=10) as reply:
        lines = re.findall(
            r'^nv_inference_request_failure\{model="(\w+)",.*\} (\S+)$', reply.read().decode(), re.MULTILINE
        )
    assert lines
    return sum(float(count) for model, count in lines if model != "relight")


def test_company_does_not_change_a_byte(server: RunningServer) -> None:
    """Sizes and numbers of lights differ, so that some requests share a run and some cannot."""
    sizes = [(96, 120), (96, 120), (120, 96), (96, 120), (131, 57), (120, 96)]
    counts = [1, 3, 2, 1, 4, 2]
    names = ("astronaut.png", "grace_hopper.jpg")
    requests = [
        request(tritonclient.grpc, saved(portrait(*size, names[index % 2])), lights(count, seed=index))
        for index, (size, count) in enumerate(zip(sizes, counts, strict=True))
    ]
    together = ask_all(server, requests)
    for inputs, answer, count in zip(requests, together, counts, strict=True):
        assert not isinstance(answer, str), answer
        assert answer["OUTPUT"].shape == (1, count)
        alone = ask(server, inputs)
        assert all(np.array_equal(alone[name], answer[name]) for name in alone)


@pytest.fixture(scope="module")
def by_format(server: RunningServer) -> dict[str, Answer | str]:
    """The answer for one portrait in each format."""
    photo = portrait(90, 120)
    requests = [
        request(tritonclient.grpc, write(photo), files=b"output,mask,background;png") for write in FORMATS.values()
    ]
    return dict(zip(FORMATS, ask_all(server, requests), strict=True))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_goes_through_upright_and_in_its_colours(by_format: dict[str, Answer | str], name: str) -> None:
    answer = by_format[name]
    assert not isinstance(answer, str), answer
    output, mask, background = (pixels(answer[key][0, 0]) for key in ("OUTPUT", "MASK", "BACKGROUND"))
    assert output.shape == background.shape == (120, 90, 3)
    photo = np.asarray(portrait(90, 120))
    error = np.abs(background.astype(float) - photo)[mask == 0]  # there the photo is untouched
    assert error.mean() < (8 if name in ("PNG palette", "GIF") else 3)


def test_several_photos_of_one_size_fit_in_a_request(server: RunningServer) -> None:
    photos = [saved(portrait(64, 80, name)) for name in ("astronaut.png", "grace_hopper.jpg")]
    both = ask(server, request(tritonclient.grpc, photos, lights(2)))
    assert both["OUTPUT"].shape == (2, 2)
    for index, photo in enumerate(photos):
        alone = ask(server, request(tritonclient.grpc, photo, lights(2)))
        assert np.array_equal(both["OUTPUT"][index], alone["OUTPUT"][0])


@pytest.mark.parametrize("size", [(1, 1), (37, 53), (400, 3)])
def test_a_photo_may_have_any_size(server: RunningServer, size: tuple[int, int]) -> None:
    answer = ask(server, request(tritonclient.grpc, saved(portrait(*size)), lights(2)))
    assert {pixels(file).shape for file in answer["OUTPUT"][0]} == {(size[1], size[0], 3)}


def test_the_metrics_count_the_inferences_of_every_model(server: RunningServer) -> None:
    def counts() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{server.metrics_url}/metrics", timeout=10) as reply:
            lines = re.findall(r'^nv_inference_count\{model="(\w+)",.*\} (\S+)$', reply.read().decode(), re.MULTILINE)
        return {model: float(count) for model, count in lines}

    before, expected = counts(), dict.fromkeys(MODELS, 1.0)
    ask(server, request(tritonclient.grpc, saved(portrait(64, 80))))
    deadline = time.monotonic() + 5.0  # Triton counts a request after it has sent the answer
    while (grown := {model: count - before[model] for model, count in counts().items()}) != expected:
        assert time.monotonic() < deadline, grown
