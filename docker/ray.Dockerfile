# The client for a Ray cluster: Ray's own image, which KubeRay expects, with what run_csv.py imports. It holds no networks:
# Triton serves them beside it (docs/cluster/rayjob.yml). Head and workers have the same one.
ARG BASE=rayproject/ray:2.60.0-py311-cpu
FROM ${BASE}

# Where the driver imports `client` from, the clients on the other nodes do too.
WORKDIR /opt/relight
COPY pyproject.toml docker/extras.py ./
RUN python extras.py client parquet remote environments > ~/requirements.txt \
 && pip install --no-cache-dir --requirement ~/requirements.txt \
 && rm ~/requirements.txt
COPY contract contract
COPY client client
ENV PYTHONDONTWRITEBYTECODE=1 RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0
