"""The choice of type and scale for every tensor and weight, and the quantized graph it gives.

Signed or not, 8 or 16 bits, one scale for a group or one per channel, what the user pins, weights
and biases in integers; what an operator refuses is taken back. :func:`assign` does all of it.
"""

from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.scale_file import read_scales, scale_text

__all__ = ["Basis", "assign", "read_scales", "scale_text"]
