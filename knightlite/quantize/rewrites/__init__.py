"""Float graphs of the same function: tables lifted, channels requantized, or evened out.

All of them lose less in 8 bits: a table that dips below zero is lifted to it, each channel gets a
scale of its own behind a table, channels that share one are brought to like ranges. Whether that
pays is judged elsewhere (:mod:`knightlite.quantize.steps`).
"""

from knightlite.quantize.rewrites.spreading import spread_channels

__all__ = ["spread_channels"]
