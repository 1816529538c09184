"""Rewrites of the quantized graph; none changes a byte of a tensor that stays materialised."""

from knightlite.passes.pipeline import PIPELINE
from knightlite.passes.rewrite import Explanations, Pass, run_passes

__all__ = ["PIPELINE", "Explanations", "Pass", "run_passes"]
