"""Float graphs of the same function that lose less in 8 bits.

Tables lifted to zero, a requantize per channel behind tables, channels brought to like ranges. What
a rewrite is worth is judged elsewhere (:mod:`knightlite.quantize.steps`).
"""

from knightlite.quantize.rewrites.spreading import spread_channels

__all__ = ["spread_channels"]
