"""What the server's memory limits: pictures × pixels of one request, told to any client, and split by our own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from client import Relighter
from contract.limits import allowed_pictures, check_memory, megabytes, most_pictures
from server.derive import LEAST_MEGABYTES
from server.embedded import RunningServer
from tests.rig.requests import lights, request
from tests.rig.runs import relight, small_table, tree
from tests.rig.served import serving

SIDE, MOST = 256, 3  # of the tables' photos, and the pictures of one that the smallest machine makes at once


@pytest.fixture(scope="module")
def small_server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The server as it would be on a machine with 1 GB of memory."""
    with serving(repository, tmp_path_factory.mktemp("small"), memory=1) as running:
        yield running


def test_the_sentence_of_a_refusal_says_how_many_pictures_are_allowed() -> None:
    check_memory(MOST, 1, SIDE, SIDE, LEAST_MEGABYTES)
    told = r"4 pictures of a photo of 256 x 256 with 2 sources each need 290 MB .* limit is 250 MB"
    with pytest.raises(ValueError, match=told) as refused:
        check_memory(MOST + 1, 2, SIDE, SIDE, LEAST_MEGABYTES)
    assert allowed_pictures(str(refused.value)) == MOST == most_pictures(2, SIDE * SIDE, LEAST_MEGABYTES)
    assert allowed_pictures("The file is truncated.") is None
    for limit in (100, 3000, 8000):
        pixels = 1024 * 1024
        assert megabytes(most_pictures(3, pixels, limit), 3, pixels) <= max(limit, megabytes(1, 3, pixels))


def test_the_memory_of_a_request_with_many_lights_is_given_back(server: RunningServer) -> None:
    family = psutil.Process(server.process.pid).children(recursive=True)
    (shadow,) = (process for process in family if "shadow_0_0" in process.cmdline())
    photo = np.full((64, 64, 3), 128, np.uint8)
    with Relighter(server.grpc_url) as relighter:
        for count in (80, 1):
            relighter(photo, lights=count, files="mask", score_threshold=0)
            if count > 1:
                before = shadow.memory_info().rss
    assert shadow.memory_info().rss < before - 300e6


@pytest.mark.parametrize(("protocol", "status"), [("grpc", "StatusCode.INVALID_ARGUMENT"), ("http", "400")])
def test_any_client_is_told_the_limit(small_server: RunningServer, tmp_path: Path, protocol: str, status: str) -> None:
    small_table(tmp_path, "a.png")
    module = {"grpc": tritonclient.grpc, "http": tritonclient.http}[protocol]
    url = {"grpc": small_server.grpc_url, "http": small_server.http_url}[protocol]
    photo = (tmp_path / "a.png").read_bytes()
    with module.InferenceServerClient(url) as client:
        for count in (MOST + 1, 200_000):  # the second would take a day and 5 TB
            with pytest.raises(InferenceServerException, match=f"send at most {MOST} pictures in a request") as refused:
                client.infer("relight", request(module, photo, many(count)))
            assert refused.value.status() == status
        client.infer("relight", request(module, photo, lights(MOST)))
        large = Image.new("RGB", (1500, 1200))
        large.save(tmp_path / "large.png")
        with pytest.raises(InferenceServerException, match=re.escape("has 1.8 megapixels (1500 x 1200); the limit is")):
            client.infer("relight", request(module, (tmp_path / "large.png").read_bytes()))


def many(count: int) -> dict[str, Any]:
    """So many times the same light."""
    return {name: np.repeat(rows, count, axis=1) for name, rows in lights(1).items()}


@pytest.mark.parametrize(
    "options", [("--files", "output,degraded,mask"), ("--dataset", "webdataset"), ("--files", "mask")]
)
def test_many_lights_are_split_and_give_the_same_bytes(
    server: RunningServer, small_server: RunningServer, tmp_path: Path, options: tuple[str, ...]
) -> None:
    table = small_table(tmp_path, "a.png", "b.png")
    trees = []
    for one in (server, small_server):
        output = tmp_path / one.grpc_url
        assert relight(one, table, output, "--variants", "8", "--seed", "3", *options) == 0
        trees.append(tree(output))
    assert trees[0] == trees[1]
    assert not list(tmp_path.rglob("tmp*")), "what was kept on the disk in between is gone"


def test_the_python_api_splits_as_well(server: RunningServer, small_server: RunningServer, tmp_path: Path) -> None:
    small_table(tmp_path, "a.png")
    answers = []
    for one in (server, small_server):
        with Relighter(one.grpc_url) as relighter:
            answers.append(relighter(tmp_path / "a.png", lights=7, files=("output", "mask")))
    whole, split = answers
    assert np.array_equal(whole.output, split.output)
    assert np.array_equal(whole.mask, split.mask)
    assert json.dumps(whole.lights) == json.dumps(split.lights)
    assert whole.info == split.info
