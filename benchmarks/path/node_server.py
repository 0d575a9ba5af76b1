"""A null server that answers each call after some seconds, as one behind busy GPUs.

With a client's calls in flight that makes a rate, so that any number of clients may share it.
`python -m benchmarks.path.node_server GPUS BATCH SECONDS` prints its port.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2_grpc

from benchmarks.path.null_server import NullServer

QUESTIONS = ("ModelReady", "ModelConfig", "ModelMetadata", "ModelInfer")
ANSWER_BYTES = 1000


async def serve(gpus: int, batch: int, seconds: float) -> None:
    """Serve a node of so many GPUs until the process is ended; a photo's answer takes so many seconds."""
    null: Any = NullServer(ANSWER_BYTES)
    answers = {question: getattr(null, question)(None, None) for question in QUESTIONS}
    config = answers["ModelConfig"].config
    config.max_batch_size = batch
    del config.instance_group[:]
    config.instance_group.add(count=1, gpus=range(gpus), kind=model_config_pb2.ModelInstanceGroup.KIND_GPU)
    for question, answer in answers.items():
        setattr(null, question, after(seconds if question == "ModelInfer" else 0.0, answer))
    unlimited: list[Any] = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=unlimited)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(null, server)
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


def after(seconds: float, answer: Any) -> Callable[[object, object], Awaitable[Any]]:
    """What answers a call after so many seconds."""

    async def wait(request: object, context: object) -> Any:
        await asyncio.sleep(seconds)
        return answer

    return wait


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
