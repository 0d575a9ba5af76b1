"""Networks → the ONNX or TorchScript files that model_repository/ serves."""
