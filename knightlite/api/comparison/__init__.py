"""``compare``: what two forms of a network make of the same data, layer by layer.

By files that the stages left, or (``-du``, ``-r compare``) while the quantizer's data run.
"""

from knightlite.api.comparison.differences import Comparison, Difference
from knightlite.api.comparison.layers import inspect_layers
from knightlite.api.comparison.run import compare

__all__ = [
    "Comparison",
    "Difference",
    "compare",
    "inspect_layers",
]
