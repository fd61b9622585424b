"""ONNX models on ONNX Runtime, on the host."""
