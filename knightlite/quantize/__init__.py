"""Quantization: statistics of the float network, ranges, scales, and the quantized network.

Its wings are layers, from ``settings`` and ``groups`` at the bottom to ``pipeline`` on top (see
docs/architecture.md). Other rooms import from the face of a wing, never from a module inside one.
"""
