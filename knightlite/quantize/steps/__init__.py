"""What is tried on top of the choice of scales, judged on other pictures, and kept or undone.

Equalization, other range methods, bias correction, adaptive rounding of weights: each one compares
the network before and after it, picture by picture, in a walk through both networks.
"""

from knightlite.quantize.steps.equalizing import equalization_left_out, try_equalization
from knightlite.quantize.steps.improvement import improve, left_out, sample_limit
from knightlite.quantize.steps.range_choice import choose_ranges

__all__ = [
    "choose_ranges",
    "equalization_left_out",
    "improve",
    "left_out",
    "sample_limit",
    "try_equalization",
]
