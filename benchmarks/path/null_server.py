"""A server that speaks Triton's protocol and does nothing: what is measured against it is the client alone.

`python -m benchmarks.path.null_server BYTES` answers each photo with pictures of so many bytes together, on
a port that it prints.
"""

import asyncio
import json
import os
import struct
import sys
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2

SERVICE = "inference.GRPCInferenceService"
WINDOW = 16
INFO = {
    **{"score": 0.9, "box": [0.1, 0.1, 0.9, 0.9], "count": 1, "residual": 0.01, "width": 1024, "height": 1024},
    "models": {name: {"network": "null", "sha256": "0" * 64} for name in ("segment", "albedo", "shadow", "recombine")},
}


def answer_of(size: int) -> bytes:
    """A ModelInferResponse, serialized: output and albedo of half of `size` bytes each, a small mask, INFO."""
    answer = service_pb2.ModelInferResponse(model_name="relight", model_version="1")
    contents = {
        "OUTPUT": os.urandom(size // 2),
        "ALBEDO": os.urandom(size // 2),
        "MASK": os.urandom(100),
        "INFO": json.dumps(INFO).encode(),
    }
    for name, content in contents.items():
        answer.outputs.add(name=name, datatype="BYTES", shape=(1, 1))
        answer.raw_output_contents.append(struct.pack("<I", len(content)) + content)
    return bytes(answer.SerializeToString())


async def serve(size: int) -> None:
    """Answer until the process is ended."""
    config = model_config_pb2.ModelConfig(name="relight", max_batch_size=WINDOW // 2)
    config.instance_group.add(count=1)
    metadata = service_pb2.ModelMetadataResponse(name="relight", versions=["1"])
    answers = {
        "ModelReady": service_pb2.ModelReadyResponse(ready=True).SerializeToString(),
        "ModelConfig": service_pb2.ModelConfigResponse(config=config).SerializeToString(),
        "ModelMetadata": metadata.SerializeToString(),
        "ModelInfer": answer_of(size),
    }

    def handler(answer: bytes) -> Any:
        async def reply(request: bytes, context: Any) -> bytes:
            return answer

        return grpc.unary_unary_rpc_method_handler(reply)  # bytes in, bytes out

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    handlers = {name: handler(answer) for name, answer in answers.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
