"""The compiler's rewrites, in order."""

from __future__ import annotations

from knightlite.passes.cut_swaps import CutSwaps
from knightlite.passes.fuse_activation import FuseActivation
from knightlite.passes.fuse_prologue import FusePrologue
from knightlite.passes.fuse_residual import FuseResidual
from knightlite.passes.rewrite import Pass
from knightlite.passes.turn_keys import TurnKeys
from knightlite.passes.two_moves import TwoMoves

PIPELINE: tuple[Pass, ...] = (
    TurnKeys(),
    CutSwaps(),
    TwoMoves(),
    FusePrologue(),
    FuseResidual(),
    FuseActivation(),
)
