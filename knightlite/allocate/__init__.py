"""Where tensors lie: inside one another, and at DDR addresses by lifetime."""

from knightlite.allocate.addresses import (
    Buffer,
    Location,
    Region,
    align,
    assign,
    assign_all,
    buffers,
    check_budget,
    layers,
    locations,
    trips,
)
from knightlite.allocate.draft import Place, is_hosted, is_placed
from knightlite.allocate.places import JOINED, place_tensors

__all__ = [
    "JOINED",
    "Buffer",
    "Location",
    "Place",
    "Region",
    "align",
    "assign",
    "assign_all",
    "buffers",
    "check_budget",
    "is_hosted",
    "is_placed",
    "layers",
    "locations",
    "place_tensors",
    "trips",
]
