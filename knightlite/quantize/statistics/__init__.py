"""What is watched while pictures pass: histograms, extremes and means of tensors, in flat memory.

Two passes over the data: the float network observed, then float beside quantized. What the first
one learnt can be kept in a file for the next run.
"""

from knightlite.quantize.statistics.distribution_cache import DistributionCache
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.passes import Observation, Runner, observe
from knightlite.quantize.statistics.recording import Recording

__all__ = [
    "DistributionCache",
    "Observation",
    "Recording",
    "Runner",
    "Statistics",
    "observe",
]
