"""Measurements of the running system, each figure beside its ideal. Commands stand on `rig/`, not on each other."""

import os

# ONNX Runtime reports to its maker unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
