"""One request to the `relight` ensemble and its reply: the tensors and the files.

Requests are protobuf messages without tritonclient's classes, which cost a quarter more CPU per call.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from client.errors import RowError
from contract.names import DECODE, ENSEMBLE

# Defaults of the command line and of the Python API.
URL = "localhost:8001"
PROMPT = "person"
SCORE_THRESHOLD = 0.5
MASK_THRESHOLD = 0.5
TIMEOUT = 300.0  # seconds, enough for a photo of 100 megapixels on a machine without a GPU

# An answer with several large pictures exceeds gRPC's default limit of 4 MB.
MESSAGE_SIZES = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


@dataclass(frozen=True)
class Reply:
    """An answer: each picture's files (one per light, or one), and the content of INFO."""

    pictures: dict[str, list[memoryview]]
    info: dict[str, Any]


def request_template(thresholds: Sequence[float], files: str, pictures: Sequence[str]) -> Any:
    """Make the part that all requests of a run share, a ModelInferRequest.

    `thresholds` are score and mask, each 0-1; `files` what to encode and how; `pictures` what to send back.
    """
    request = service_pb2.ModelInferRequest(model_name=ENSEMBLE)
    for name in (*pictures, "info"):
        request.outputs.add(name=name.upper())
    request.inputs.add(name="THRESHOLDS", datatype="FP32", shape=(1, 2))
    for name in ("FILES", "IMAGE", "PROMPT", "BACKDROP"):
        request.inputs.add(name=name, datatype="BYTES", shape=(1, 1))
    request.raw_input_contents.append(np.array(thresholds, np.float32).tobytes())
    request.raw_input_contents.append(_packed(files.encode()))
    return request


def photo_request(
    template: Any, image: bytes, prompt: str, lights: Mapping[str, NDArray[np.float32]], backdrop: bytes = b""
) -> Any:
    """Make the request of one photo from its file's bytes, the prompt, and LIGHT and SCENE. Thread-safe.

    `backdrop` is the file of the picture behind the person, where SCENE asks for one.
    """
    request = service_pb2.ModelInferRequest()
    request.CopyFrom(template)
    text = prompt.encode("utf-8", "replace")
    request.raw_input_contents.extend((_packed(image), _packed(text), _packed(backdrop)))
    for name, rows in lights.items():
        request.inputs.add(name=name, datatype="FP32", shape=rows.shape)
        request.raw_input_contents.append(rows.tobytes())
    return request


def decode_request(request: Any) -> Any:
    """The same request to the ensemble's first model alone, which reads the photo and checks every number."""
    alone = service_pb2.ModelInferRequest(model_name=DECODE)
    alone.outputs.add(name="ASPECT")  # the smallest
    alone.inputs.extend(request.inputs)
    alone.raw_input_contents.extend(request.raw_input_contents)
    return alone


def unpack(answer: Any, counts: Mapping[str, int]) -> Reply:
    """Read files and INFO of a ModelInferResponse; `counts` is the number of files of each picture.

    Raises RowError if the server sent another number of files.
    """
    contents = map(_unpacked, answer.raw_output_contents)
    found = dict(zip((output.name for output in answer.outputs), contents, strict=True))
    pictures = {}
    for name, count in counts.items():
        files = found.get(name.upper(), [])
        if len(files) != count or not all(files):
            raise RowError(
                f"the server sent {sum(map(bool, files))} {name} files instead of {count}; "
                "client and server are of different versions"
            )
        pictures[name] = files
    return Reply(pictures, json.loads(bytes(found["INFO"][0])))


def _packed(content: bytes) -> bytes:
    """A STRING tensor of one element: its length in four bytes, then its bytes."""
    return struct.pack("<I", len(content)) + content


def _unpacked(content: bytes) -> list[memoryview]:
    """The elements of a STRING tensor, without a copy."""
    elements, start, view = [], 0, memoryview(content)
    while start < len(content):
        (length,) = struct.unpack_from("<I", content, start)
        elements.append(view[start + 4 : start + 4 + length])
        start += 4 + length
    return elements
