"""Folders and ports in the containers; docker-compose.yml mounts and publishes them."""

from pathlib import Path

MODELS = Path("/models")  # the model repository, written by `export`
ENGINES = Path("/engines")  # TensorRT engines, and records of what was verified on them
SECRETS = Path("/run/relight")  # TLS files and keys; every file that is there is used
TRITON = Path("/opt/tritonserver")
GRPC_PORT, HTTP_PORT, METRICS_PORT = 8001, 8000, 8002
LOOPBACK_HTTP = f"127.0.0.1:{HTTP_PORT}"
