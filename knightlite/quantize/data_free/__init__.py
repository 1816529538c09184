"""Calibration without pictures: made-up ones and what BatchNorms know of them, or random data.

The idea of Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
2019, carried through all ranges: what the input was is fitted to the first BatchNorms, and the
network is changed so that made-up pictures excite every layer as training did. A network without
BatchNorms gets random data.
"""

from knightlite.quantize.data_free.input_fit import apart_from_training, knows_training
from knightlite.quantize.data_free.workloads import DataFree, is_made_up, without_data

__all__ = ["DataFree", "apart_from_training", "is_made_up", "knows_training", "without_data"]
