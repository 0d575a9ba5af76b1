"""Networks → the ONNX, TorchScript or AOTInductor files that model_repository/ serves."""

import os

# ONNX Runtime reports to its maker unless it is told not to before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
