"""The passes over the pictures: histograms, extremes and means of tensors, and their cache.

The float network is observed, then float and quantized run side by side, in memory that does not
grow with the pictures. What the first pass learnt can be kept in a file for the next run.
"""

from knightlite.quantize.statistics.distribution_cache import DistributionCache
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.passes import Observation, class_scores, observe
from knightlite.quantize.statistics.recording import Recording

__all__ = [
    "DistributionCache",
    "Observation",
    "Recording",
    "Statistics",
    "class_scores",
    "observe",
]
