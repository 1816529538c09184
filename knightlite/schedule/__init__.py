"""Tiles, order and overlap."""

from knightlite.schedule.bound import Bound, lower_bound
from knightlite.schedule.columns import cut_columns
from knightlite.schedule.explained import Told, explained
from knightlite.schedule.homes import Piece
from knightlite.schedule.levels import LEVELS, Level
from knightlite.schedule.live_bytes import live_bytes, overwritten
from knightlite.schedule.local_search import Budget
from knightlite.schedule.means import cut_means
from knightlite.schedule.peaks import Holder, Peak, block_name, memory_peaks
from knightlite.schedule.plan import Tilings, layer_key, plan_instructions
from knightlite.schedule.planning import frame_cycles, make_plan
from knightlite.schedule.records import LayerPlan, Order, Plan
from knightlite.schedule.regions import Decisions, Region
from knightlite.schedule.tiling import Tiling

__all__ = [
    "LEVELS",
    "Bound",
    "Budget",
    "Decisions",
    "Holder",
    "LayerPlan",
    "Level",
    "Order",
    "Peak",
    "Piece",
    "Plan",
    "Region",
    "Tiling",
    "Tilings",
    "Told",
    "block_name",
    "cut_columns",
    "cut_means",
    "explained",
    "frame_cycles",
    "layer_key",
    "live_bytes",
    "lower_bound",
    "make_plan",
    "memory_peaks",
    "overwritten",
    "plan_instructions",
]
