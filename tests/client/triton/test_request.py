"""Promises of requests and replies: the tensors of the contract, and the sentence inside an error. No server."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import InferResult, service_pb2

from client.errors import RowError
from client.triton.request import photo_request, request_template, unpack
from contract.errors import is_dead_stub, plain

DEAD_STUB = "in ensemble 'relight', Stub process 'decode_0_0' is not healthy."


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            "in ensemble 'relight', Failed to process the request(s) for model 'decode_0_1', "
            "message: TritonModelException: the photo is damaged\n\nAt:\n  /m.py(7): execute\n",
            "the photo is damaged",
        ),
        ("[StatusCode.INVALID_ARGUMENT] in ensemble 'relight', no person", "no person"),
        ("", "the server gave no reason"),
        (DEAD_STUB, f"a Python process of the server has died ({DEAD_STUB}); try again when the server has restarted"),
    ],
)
def test_only_the_sentence_of_an_error_is_kept(message: str, sentence: str) -> None:
    assert plain(message) == sentence
    assert is_dead_stub(message) == ("Stub" in message)


def test_requests_share_a_template_and_nothing_else() -> None:
    template = request_template((0.5, 0.25), "output,mask;png", ("output", "mask"))
    before = template.SerializeToString()
    light, scene = (np.arange(2 * width, dtype=np.float32).reshape(1, 2, width) for width in (16, 32))
    request = photo_request(template, b"\xff\xd8", "a person", {"LIGHT": light, "SCENE": scene})
    assert template.SerializeToString() == before
    assert [output.name for output in request.outputs] == ["OUTPUT", "MASK", "INFO"]
    tensors = zip(request.inputs, request.raw_input_contents, strict=True)
    assert {tensor.name: (list(tensor.shape), content) for tensor, content in tensors} == {
        "THRESHOLDS": ([1, 2], np.array([0.5, 0.25], np.float32).tobytes()),
        "FILES": ([1, 1], b"\x0f\0\0\0output,mask;png"),
        "IMAGE": ([1, 1], b"\x02\0\0\0\xff\xd8"),
        "PROMPT": ([1, 1], b"\x08\0\0\0a person"),
        "LIGHT": ([1, 2, 16], light.tobytes()),
        "SCENE": ([1, 2, 32], scene.tobytes()),
    }


def answer_of(**contents: list[bytes]) -> service_pb2.ModelInferResponse:
    answer = service_pb2.ModelInferResponse()
    for name, elements in contents.items():
        answer.outputs.add(name=name, datatype="BYTES", shape=(1, len(elements)))
        answer.raw_output_contents.append(b"".join(struct.pack("<I", len(e)) + e for e in elements))
    return answer


@given(files=st.lists(st.binary(min_size=1), min_size=1, max_size=4))
def test_a_reply_holds_what_tritonclient_reads(files: list[bytes]) -> None:
    answer = answer_of(OUTPUT=files, INFO=[b'{"score": 1}'])
    reply = unpack(answer, {"output": len(files)})
    assert reply.pictures["output"] == InferResult(answer).as_numpy("OUTPUT").ravel().tolist() == files
    assert reply.info == {"score": 1}


@pytest.mark.parametrize("files", [[], [b"a"], [b"a", b""]])
def test_a_reply_without_its_files_is_refused(files: list[bytes]) -> None:
    with pytest.raises(RowError, match="output files instead of 2; client and server are of different versions"):
        unpack(answer_of(OUTPUT=files, INFO=[b"{}"]), {"output": 2})
