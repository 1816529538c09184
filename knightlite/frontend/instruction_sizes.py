"""What instructions can say of sizes, for a choice among forms of a network.

Lowering refuses what is larger (``knightlite.lower``, from the fields of ``knightlite.isa``); here
it only decides which form is taken.
"""

from __future__ import annotations

LONGEST = 255  # rows and columns of a window, its strides and its pads
LARGEST = 65_535  # channels, rows and columns of a tensor
