"""A byte-exact shadow of the memories: nothing may be read that nothing has written.

The constants and the network's inputs are there from the start; the scratchpads are not.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.isa import Instruction, Operand, Space
from knightlite.sim.faults import fault
from knightlite.sim.memory import byte_view


def merged(item: Operand) -> Operand:
    """The same bytes in fewer, longer runs where runs touch."""
    if item.outer or item.rows == item.columns == 1:
        return item
    if item.columns == 1 or item.column_stride == item.run:
        item = item._replace(columns=1, run=item.columns * item.run, column_stride=0)
        if item.rows == 1 or item.row_stride == item.run:
            item = item._replace(rows=1, run=item.rows * item.run, row_stride=0)
    return item


class Shadow:
    """Which bytes have been written so far, in program order."""

    def __init__(
        self,
        sizes: Mapping[Space, int],
        constants_bytes: int,
        inputs: Iterable[Operand],
        layers: Sequence[str],
    ) -> None:
        self._layers = layers
        self._written: dict[Space, NDArray[np.bool_]] = {
            space: np.zeros(size, np.bool_) for space, size in sizes.items()
        }
        self._written[Space.DDR][:constants_bytes] = True
        for item in inputs:
            byte_view(self._written[Space.DDR], item)[...] = True

    def execute(self, index: int, instruction: Instruction, found: Iterable[Operand]) -> None:
        """Check what an instruction reads, then mark what it writes."""
        for operand in found:
            item = merged(operand)
            shadow: NDArray[Any] = self._written[item.space]
            if item.rows == item.columns == 1 and not item.outer:
                view = shadow[item.address : item.address + item.run]
            else:
                view = byte_view(shadow, item)
            if item.write:
                view[...] = True
            elif not view.all():
                raise fault(index, instruction, self._layers, _sentence(operand, shadow))

    def covers(self, operand: Operand) -> bool:
        """Whether all bytes of an operand have been written."""
        return bool(byte_view(self._written[operand.space], operand).all())


def _sentence(item: Operand, shadow: NDArray[Any]) -> str:
    *turns, byte = np.argwhere(~byte_view(shadow, item))[0]
    strides = (stride for _, stride in item.loops)
    address = item.address + sum(map(operator.mul, turns, strides)) + byte
    return (
        f"reads uninitialised {item.space.name} byte {int(address):#x} of its {item.name} at "
        f"{item.address:#x}."
    )
