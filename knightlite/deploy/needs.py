"""How much memory a network needs on a board: to the byte where this machine has a compiler."""

from __future__ import annotations

import math
from dataclasses import dataclass

from knightlite.container import Description
from knightlite.native.library import CHIP_ONLY, Network

ALIGN = SLACK = 64  # as in knl_run.c


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes. ``arena``: of the scalar kernels, which a board has, and a program checked before.

    It ``is_exact``, or no more than that is needed.
    """

    cfg: int
    weight: int
    known_input: int
    known_output: int
    arena: int
    is_exact: bool

    @property
    def flash(self) -> int:
        """The network itself, without the code and the known answer."""
        return self.cfg + self.weight


def most_arena_bytes(meta: Description) -> int:
    """The arena with all scratchpads, which many programs run without."""
    chip = meta.chip_values
    memories = (
        meta.ddr_bytes - meta.constants_bytes, chip.fspm_bytes, chip.wspm_bytes, chip.mspm_bytes
    )  # fmt: skip
    return ALIGN + sum(math.ceil((size + SLACK) / ALIGN) * ALIGN for size in memories)


def arena_bytes(cfg: bytes, weight: bytes) -> int:
    """What ``knl_arena_bytes`` says with scalar kernels and without ``KNL_CHECKED``.

    UsageError where the runtime cannot be built.
    """
    network = Network(cfg, weight, CHIP_ONLY)
    network.use_kernels("scalar")
    return network.arena_bytes
