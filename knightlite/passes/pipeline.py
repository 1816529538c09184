"""The compiler's rewrites, in order."""

from __future__ import annotations

from knightlite.passes.fuse_activation import FuseActivation
from knightlite.passes.fuse_prologue import FusePrologue
from knightlite.passes.fuse_residual import FuseResidual
from knightlite.passes.rewrite import Pass

PIPELINE: tuple[Pass, ...] = (FusePrologue(), FuseResidual(), FuseActivation())
