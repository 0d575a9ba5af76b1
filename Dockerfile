# NVIDIA's Triton with what `decode` and `encode` import. The networks are not in the image but on a volume.
# To pin it for good: --build-arg BASE=nvcr.io/nvidia/tritonserver@sha256:…
ARG BASE=nvcr.io/nvidia/tritonserver:26.11-py3
FROM ${BASE}

WORKDIR /opt/relight
COPY pyproject.toml docker/extras.py ./
# The base's Python is its distribution's, which otherwise refuses pip. The base has Triton, so the wheel is left out.
RUN python3 extras.py server --without nvidia-pytriton > requirements.txt \
 && PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir --requirement requirements.txt \
 && rm requirements.txt
COPY contract contract
COPY server server
COPY docker docker
# New named volumes get the owner of the folder that they are mounted on.
RUN mkdir -p /models /engines /run/relight && chown 1000:1000 /models /engines

# The root file system may be read-only: what is written goes to /tmp and the volumes.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 CUDA_CACHE_PATH=/engines/cuda-kernels
USER 1000:1000
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=30s --timeout=60s --start-period=120m --retries=3 CMD ["python3", "-m", "docker.health"]
ENTRYPOINT ["python3", "-m", "docker.entrypoint"]
