"""Where tensors lie: concat buffers and DDR addresses by lifetime."""

from knightlite.allocate.addresses import (
    Buffer,
    Location,
    align,
    assign,
    buffers,
    check_budget,
    layers,
    locations,
)
from knightlite.allocate.concat import Slice, place_concats

__all__ = [
    "Buffer",
    "Location",
    "Slice",
    "align",
    "assign",
    "buffers",
    "check_budget",
    "layers",
    "locations",
    "place_concats",
]
