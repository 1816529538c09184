"""From a Paddle or ONNX model to the bytes of an NPU, and a simulator that runs them."""

__version__ = "0.1.0"
