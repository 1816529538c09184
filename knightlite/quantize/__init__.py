"""Quantization: statistics of the float network, ranges, scales, and the QDQ file."""
