"""Measurements of the running system: load from perf_analyzer, and what it shows."""

import os

# ONNX Runtime reports to its maker unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
