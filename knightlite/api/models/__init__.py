"""A network as one verb hands it to the next: quantized or compiled, in memory or in its files.

What the files are called, how a stage finds those of the one before it, and what is noted in them
stands here once, below all verbs.
"""

from knightlite.api.models.binary import File, open_binary
from knightlite.api.models.compiled import CompiledModel
from knightlite.api.models.quantized import QuantizedModel
from knightlite.api.models.stage_files import weights_beside

__all__ = [
    "CompiledModel",
    "File",
    "QuantizedModel",
    "open_binary",
    "weights_beside",
]
