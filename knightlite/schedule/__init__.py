"""Tiles, order and overlap."""

from knightlite.schedule.bound import Bound, lower_bound
from knightlite.schedule.levels import LEVELS, Level
from knightlite.schedule.live_bytes import live_bytes, overwritten
from knightlite.schedule.plan import (
    LayerPlan,
    Plan,
    Tilings,
    layer_key,
    make_plan,
    plan_instructions,
)
from knightlite.schedule.tiling import Tiling

__all__ = [
    "LEVELS",
    "Bound",
    "LayerPlan",
    "Level",
    "Plan",
    "Tiling",
    "Tilings",
    "layer_key",
    "live_bytes",
    "lower_bound",
    "make_plan",
    "overwritten",
    "plan_instructions",
]
