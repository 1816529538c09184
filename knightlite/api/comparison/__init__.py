"""``compare``: what two forms of a network make of the same data, layer by layer.

By files that the stages left, or (``-du``, ``-r compare``) while the quantizer's data run.
"""

from knightlite.api.comparison.differences import Comparison
from knightlite.api.comparison.run import compare

__all__ = [
    "Comparison",
    "compare",
]
