"""How much memory a network needs on a board: to the byte where this machine has a compiler."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from knightlite.container import Description, GeneralLayer
from knightlite.native.library import CHIP_ONLY, Network

ALIGN = SLACK = 64  # as in knl_run.c
VALUE_ALIGN = 16  # as in knl_values.c


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
        meta.own_end - meta.constants_bytes, chip.fspm_bytes, chip.wspm_bytes, chip.mspm_bytes
    )  # fmt: skip
    shapes = {entry.name: entry.shape for entry in meta.tensors}
    values = max((values_bytes(layer, shapes) for layer in meta.general), default=0)
    sizes = [math.ceil((size + SLACK) / ALIGN) * ALIGN for size in memories]
    return ALIGN + sum(sizes) + math.ceil(values / ALIGN) * ALIGN


def values_bytes(layer: GeneralLayer, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """What the host's values of a general layer take; ``shapes``: of what it reads."""
    made = [item for step in layer.operators for item in step.makes]
    sizes = [4 * math.prod(shapes[name]) for name in layer.reads]
    sizes += [item.size_bytes for item in made]
    return sum(math.ceil(size / VALUE_ALIGN) * VALUE_ALIGN for size in sizes)


def arena_bytes(cfg: bytes, weight: bytes) -> int:
    """What ``knl_arena_bytes`` says with scalar kernels and without ``KNL_CHECKED``.

    UsageError where the runtime cannot be built.
    """
    network = Network(cfg, weight, CHIP_ONLY)
    network.use_kernels("scalar")
    return network.arena_bytes
