"""Where things lie in the containers; docker-compose.yml mounts them there."""

from pathlib import Path

MODELS = Path("/models")  # the model repository, written by `export`
ENGINES = Path("/engines")  # TensorRT engines, and what was found to compute what its networks compute
SECRETS = Path("/run/relight")  # TLS files and keys; what lies there is used
TRITON = Path("/opt/tritonserver")
GRPC_PORT, HTTP_PORT, METRICS_PORT = 8001, 8000, 8002
LOOPBACK_HTTP = f"127.0.0.1:{HTTP_PORT}"
