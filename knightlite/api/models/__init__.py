"""A network as one verb hands it to the next: quantized or compiled, in memory or in its files.

What the files are called, how a stage finds those of the one before it, and what is noted in them
stands here once, below all verbs.
"""

from knightlite.api.models.binary import Binary, File, find_binary, open_binary
from knightlite.api.models.compiled import CompiledModel
from knightlite.api.models.finding import find_quantized
from knightlite.api.models.notes import notes_of, quantized_for
from knightlite.api.models.quantized import QuantizedModel

__all__ = [
    "Binary",
    "CompiledModel",
    "File",
    "QuantizedModel",
    "find_binary",
    "find_quantized",
    "notes_of",
    "open_binary",
    "quantized_for",
]
