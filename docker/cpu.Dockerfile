# The same service without a GPU, on Triton from the nvidia-pytriton wheel; also the image that exports and verifies.
# To pin it for good: --build-arg BASE=python@sha256:…
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

WORKDIR /opt/relight
# PyTorch without CUDA: it exports and verifies, but never serves.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY pyproject.toml docker/extras.py ./
RUN python3 extras.py server cpu export networks > requirements.txt \
 && PIP_BREAK_SYSTEM_PACKAGES=1 PIP_EXTRA_INDEX_URL=${TORCH_INDEX} \
    python3 -m pip install --no-cache-dir --requirement requirements.txt \
 && rm requirements.txt
COPY model_repository model_repository
COPY export export
COPY contract contract
COPY server server
COPY docker docker
RUN python3 -m docker.layout /opt/tritonserver
# New named volumes get the owner of the folder that they are mounted on.
RUN mkdir -p /models /engines /cache /checkpoints /run/relight && chown 1000:1000 /models /engines /cache

# The root file system may be read-only: what is written goes to /tmp and the volumes.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/opt/tritonserver/lib HF_HOME=/cache
USER 1000:1000
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=30s --timeout=60s --start-period=30m --retries=3 CMD ["python3", "-m", "docker.health"]
ENTRYPOINT ["python3", "-m", "docker.entrypoint"]
