"""ONNX models on OpenVINO, on Intel's devices and any x86-64 processor."""
