"""Running a float or quantized network in ONNX Runtime."""
