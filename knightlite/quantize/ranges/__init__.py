"""Range methods: from a histogram and a type to a scale, and the error that a scale leaves.

They see one distribution at a time and know no network: min-max, least squares, percentile, two
divergences, OCTAV.
"""

from knightlite.quantize.ranges.densities import Density, clip, mix, row_densities
from knightlite.quantize.ranges.methods import METHODS, method_of
from knightlite.quantize.ranges.scale_errors import clipped_share, squared_error

__all__ = [
    "METHODS",
    "Density",
    "clip",
    "clipped_share",
    "method_of",
    "mix",
    "row_densities",
    "squared_error",
]
