"""``quant``: a float model and data to a quantized network, in memory or as files.

The options say which model, how its inputs are fed and with what, and what is tried; every
combination of range method and number of forward calls becomes a network, and the best is kept.
"""

from knightlite.api.quantization.batches import Data
from knightlite.api.quantization.converting import float_model
from knightlite.api.quantization.cycles import PRICED, clock_of
from knightlite.api.quantization.in_memory import load_float
from knightlite.api.quantization.options import completed
from knightlite.api.quantization.run import (
    QuantizeOutcome,
    compare_files,
    quantize,
    quantize_all,
)

__all__ = [
    "PRICED",
    "Data",
    "QuantizeOutcome",
    "clock_of",
    "compare_files",
    "completed",
    "float_model",
    "load_float",
    "quantize",
    "quantize_all",
]
