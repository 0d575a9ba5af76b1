"""What is said of failures, and how many calls are kept in flight. Pure, no server."""

import io
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from client.progress import Progress, summary
from client.request import plain
from client.sender import window_of


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "in ensemble 'relight', Failed to process the request(s) for model 'decode_0_1', "
            "message: TritonModelException: the photo is damaged\n\nAt:\n  /m.py(7): execute\n",
            "the photo is damaged",
        ),
        ("[StatusCode.INVALID_ARGUMENT] in ensemble 'relight', no person", "no person"),
        ("", "the server gave no reason (StatusCode.INTERNAL)"),
        (
            "in ensemble 'relight', Stub process 'decode_0_0' is not healthy.",
            "a Python process of the server has died (in ensemble 'relight', Stub process "
            "'decode_0_0' is not healthy.); restart the server",
        ),
    ],
)
def test_only_the_sentence_of_an_error_is_kept(message: str, sentence: str) -> None:
    assert plain(InferenceServerException(message, status="StatusCode.INTERNAL")) == sentence


def test_the_window_fills_the_busiest_member() -> None:
    small = model_config_pb2.ModelConfig(max_batch_size=0)
    small.instance_group.add(count=4)
    large = model_config_pb2.ModelConfig(max_batch_size=8)
    large.instance_group.add(count=2, gpus=[0, 1])
    assert window_of([small, large]) == 2 * 8 * 4


def test_the_summary_shows_the_first_failures_and_where_the_rest_is() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    for number in range(1, 13):
        progress.row_failed(f"row {number} (a.jpg): it is damaged")
    assert len(stream.getvalue().splitlines()) == 12, "each is told at once"
    told = summary(progress, Path("out/a"), Path("out/a.csv"))
    assert "0 rows done, 12 failed" in told
    assert "row 10 (a.jpg): it is damaged\n  and 2 more, see column error of out/a.csv" in told
