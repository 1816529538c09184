"""Tried on top, judged, kept or undone: equalization, ranges, scales, bias correction, rounding.

Each step compares the network before and after it on pictures that it was not tuned on, in a walk
through both networks side by side.
"""

from knightlite.quantize.steps.equalizing import equalization_left_out, try_equalization
from knightlite.quantize.steps.improvement import TOO_DEAR, improve, left_out, sample_limit
from knightlite.quantize.steps.judgement import trimmed_mean
from knightlite.quantize.steps.output_scales import (
    choose_output_scales,
    output_scales_left_out,
    sample_wanted,
)
from knightlite.quantize.steps.range_choice import choose_ranges

__all__ = [
    "TOO_DEAR",
    "choose_output_scales",
    "choose_ranges",
    "equalization_left_out",
    "improve",
    "left_out",
    "output_scales_left_out",
    "sample_limit",
    "sample_wanted",
    "trimmed_mean",
    "try_equalization",
]
