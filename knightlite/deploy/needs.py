"""How much memory a network needs on a board, to the byte."""

from __future__ import annotations

import math
from dataclasses import dataclass

from knightlite.container import Description

ALIGN = SLACK = 64  # as in knl_run.c


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes. ``arena``: of the scalar kernels, which a board has, and a program checked before."""

    cfg: int
    weight: int
    known_input: int
    known_output: int
    arena: int

    @property
    def flash(self) -> int:
        """The network itself, without the code and the known answer."""
        return self.cfg + self.weight


def arena_bytes(meta: Description) -> int:
    """What ``knl_arena_bytes`` says with scalar kernels and without ``KNL_CHECKED``."""
    chip = meta.chip_values
    memories = (
        meta.ddr_bytes - meta.constants_bytes, chip.fspm_bytes, chip.wspm_bytes, chip.mspm_bytes
    )  # fmt: skip
    return ALIGN + sum(math.ceil((size + SLACK) / ALIGN) * ALIGN for size in memories)
