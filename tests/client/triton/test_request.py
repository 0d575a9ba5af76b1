"""Promises of requests and replies: the tensors of the contract, and the sentence inside an error. No server."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import InferResult, service_pb2

from client.errors import RowError
from client.triton.parts import PhotoParts, Templates
from client.triton.request import decode_request, photo_request, request_template, unpack
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
    light = np.arange(96, dtype=np.float32).reshape(1, 2, 3, 16)
    scene = np.arange(64, dtype=np.float32).reshape(1, 2, 32)
    request = photo_request(template, b"\xff\xd8", "a person", {"LIGHT": light, "SCENE": scene}, b"wall")
    assert template.SerializeToString() == before
    assert [output.name for output in request.outputs] == ["OUTPUT", "MASK", "INFO"]
    tensors = zip(request.inputs, request.raw_input_contents, strict=True)
    assert {tensor.name: (list(tensor.shape), content) for tensor, content in tensors} == {
        "THRESHOLDS": ([1, 2], np.array([0.5, 0.25], np.float32).tobytes()),
        "FILES": ([1, 1], b"\x0f\0\0\0output,mask;png"),
        "IMAGE": ([1, 1], b"\x02\0\0\0\xff\xd8"),
        "PROMPT": ([1, 1], b"\x08\0\0\0a person"),
        "BACKDROP": ([1, 1], b"\x04\0\0\0wall"),
        "LIGHT": ([1, 2, 3, 16], light.tobytes()),
        "SCENE": ([1, 2, 32], scene.tobytes()),
    }
    without = photo_request(template, b"\xff\xd8", "a person", {"LIGHT": light, "SCENE": scene})
    assert without.raw_input_contents[4] == b"\0\0\0\0", "an empty file, not none"
    alone = decode_request(request)
    assert alone.raw_input_contents == request.raw_input_contents
    assert [output.name for output in alone.outputs] == ["ASPECT"]


def test_a_photo_of_many_lights_is_split_between_its_pictures() -> None:
    light = np.arange(5 * 2 * 16, dtype=np.float32).reshape(1, 5, 2, 16)
    scene = np.arange(5 * 32, dtype=np.float32).reshape(1, 5, 32)
    templates = Templates((0.5, 0.5), "output,mask;png", ("output", "mask"))
    parts = PhotoParts(templates, b"photo", "person", {"LIGHT": light, "SCENE": scene}, b"wall")
    parts.refused(RowError("too much memory: send at most 2 pictures in a request"))
    sent = []
    for lights in (2, 2, 1):
        tensors = {
            tensor.name: (list(tensor.shape), content)
            for tensor, content in zip(parts.request.inputs, parts.request.raw_input_contents, strict=True)
        }
        assert tensors["LIGHT"][0] == [1, lights, 2, 16]
        assert tensors["BACKDROP"][1] == b"\x04\0\0\0wall"
        sent.append(tensors)
        masks = {} if len(sent) > 1 else {"MASK": [b"m"]}
        reply = parts.take(answer_of(OUTPUT=[b"o"] * lights, INFO=[b"{}"], **masks))
    assert b"".join(tensors["LIGHT"][1] for tensors in sent) == light.tobytes()
    assert b"".join(tensors["SCENE"][1] for tensors in sent) == scene.tobytes()
    assert [tensors["FILES"][1][4:] for tensors in sent] == [b"output,mask;png", b"output;png", b"output;png"]
    assert reply is not None
    assert {name: len(files) for name, files in reply.pictures.items()} == {"output": 5, "mask": 1}


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
