"""Tiles, order and overlap."""

from knightlite.schedule.plan import LayerPlan, Plan, make_plan, plan_instructions
from knightlite.schedule.tiling import Tiling

__all__ = ["LayerPlan", "Plan", "Tiling", "make_plan", "plan_instructions"]
