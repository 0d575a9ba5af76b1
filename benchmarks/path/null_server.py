"""A server that speaks Triton's protocol and does nothing: what is measured against it is the client alone.

`python -m benchmarks.path.null_server BYTES` answers each photo with pictures of so many bytes together, on
a port that it prints.
"""

import json
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from contract.names import ENSEMBLE, NETWORKS

LARGEST_BATCH = 8
INFO = {
    **{"score": 0.9, "box": [0.1, 0.1, 0.9, 0.9], "count": 1, "residual": 0.01, "width": 1024, "height": 1024},
    "models": {name: {"network": "null", "sha256": "0" * 64} for name in NETWORKS},
}


class NullServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient has no types
    """The four questions that the client asks, each with one answer."""

    def __init__(self, size: int) -> None:
        """Output and albedo of half of `size` bytes each, a small mask, INFO."""
        info, half = json.dumps(INFO).encode(), os.urandom(size // 2)
        photo = service_pb2.ModelInferResponse(model_name=ENSEMBLE, model_version="1")
        for name, content in {"OUTPUT": half, "ALBEDO": half, "MASK": os.urandom(100), "INFO": info}.items():
            photo.outputs.add(name=name, datatype="BYTES", shape=(1, 1))
            photo.raw_output_contents.append(struct.pack("<I", len(content)) + content)
        config = model_config_pb2.ModelConfig(name=ENSEMBLE, max_batch_size=LARGEST_BATCH)
        config.instance_group.add(count=1)
        answers = {
            "ModelReady": service_pb2.ModelReadyResponse(ready=True),
            "ModelConfig": service_pb2.ModelConfigResponse(config=config),
            "ModelMetadata": service_pb2.ModelMetadataResponse(name=ENSEMBLE, versions=["1"]),
            "ModelInfer": photo,
        }
        for question, answer in answers.items():
            setattr(self, question, lambda request, context, answer=answer: answer)


if __name__ == "__main__":
    unlimited: list[Any] = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), options=unlimited)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(NullServer(int(sys.argv[1])), server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()
