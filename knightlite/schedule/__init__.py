"""Tiles, order and overlap."""

from knightlite.schedule.levels import LEVELS, Level
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
    "LayerPlan",
    "Level",
    "Plan",
    "Tiling",
    "Tilings",
    "layer_key",
    "make_plan",
    "plan_instructions",
]
