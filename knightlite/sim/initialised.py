"""A byte-exact shadow of the memories: nothing may be read that nothing has written.

The constants and the network's inputs are there from the start; the scratchpads are not. DDR is
used again and again: where the life of a tensor begins, its bytes count as unwritten, so that what
an earlier tensor left there is not taken for it. A delivered tensor keeps its bytes to the end.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from knightlite.isa import Instruction, Operand, Space
from knightlite.sim.faults import fault
from knightlite.sim.memory import Bytes, byte_view


def merged(item: Operand) -> Operand:
    """The same bytes in fewer, longer runs where runs touch."""
    name, space, address, rows, row_stride, columns, column_stride, run, write, unit, outer = item
    if outer or rows == columns == 1 or (columns > 1 and column_stride != run):
        return item
    run *= columns
    if rows == 1 or row_stride == run:
        rows, row_stride, run = 1, 0, rows * run
    return Operand(name, space, address, rows, row_stride, 1, 0, run, write, unit)


UNWRITTEN, WRITTEN, DELIVERED = range(3)  # of a byte


class Shadow:
    """What has happened to every byte so far, in program order."""

    def __init__(
        self,
        sizes: Mapping[Space, int],
        constants_bytes: int,
        inputs: Iterable[Operand],
        layers: Sequence[str],
    ) -> None:
        self._layers = layers
        self._bytes: dict[Space, Bytes] = {
            space: np.zeros(size, np.uint8) for space, size in sizes.items()
        }
        self._bytes[Space.DDR][:constants_bytes] = WRITTEN
        self._holds_outputs = False
        self._written: dict[Space, NDArray[np.int32]] = {}  # by which instruction last
        for item in inputs:
            byte_view(self._bytes[Space.DDR], item)[...] = WRITTEN

    def remember(self, space: Space) -> None:
        """Keep in mind which instruction writes which byte of a memory."""
        self._written[space] = np.full(len(self._bytes[space]), -1, np.int32)

    def written_since(self, tensor: Operand, first: int) -> bool:
        """Whether an instruction from ``first`` on was the last to write each byte of a tensor.

        Scratchpads are used again and again, also by what replaces its operand byte for byte.
        """
        return bool(byte_view(self._written[tensor.space], tensor).min() >= first)

    def begin(self, tensor: Operand) -> None:
        """From here on what lies in the bytes of a tensor is its own, or nothing."""
        view = byte_view(self._bytes[tensor.space], tensor)
        view[view == WRITTEN] = UNWRITTEN

    def write(self, tensor: Operand) -> bool:
        """The host writes a tensor; False where that overwrites a delivered one."""
        view = byte_view(self._bytes[tensor.space], tensor)
        if view.max() == DELIVERED:
            return False
        view[...] = WRITTEN
        return True

    def complete(self, tensor: Operand, delivered: bool) -> bool:
        """Whether all bytes of a tensor are its own by now; a delivered one must keep them."""
        view = byte_view(self._bytes[tensor.space], tensor)
        if delivered:
            view[view == WRITTEN] = DELIVERED
            self._holds_outputs = True
        return bool(view.min() != UNWRITTEN)

    def execute(self, index: int, instruction: Instruction, found: Iterable[Operand]) -> None:
        """Check what an instruction reads, then mark what it writes."""
        for operand in found:
            item = merged(operand)
            shadow = self._bytes[item.space]
            if item.rows == item.columns == 1 and not item.outer:
                view = shadow[item.address : item.address + item.run]
            else:
                view = byte_view(shadow, item)
            if item.write:
                if self._holds_outputs and item.space == Space.DDR and view.max() == DELIVERED:
                    sentence = _sentence("overwrites delivered", operand, shadow, DELIVERED)
                    raise fault(index, instruction, self._layers, sentence)
                view[...] = WRITTEN
                if item.space in self._written:
                    byte_view(self._written[item.space], item)[...] = index
            elif view.min() == UNWRITTEN:
                sentence = _sentence("reads uninitialised", operand, shadow, UNWRITTEN)
                raise fault(index, instruction, self._layers, sentence)


def _sentence(does: str, item: Operand, shadow: Bytes, state: int) -> str:
    *turns, byte = np.argwhere(byte_view(shadow, item) == state)[0]
    strides = (stride for _, stride in item.loops)
    address = item.address + sum(map(operator.mul, turns, strides)) + byte
    return (
        f"{does} {item.space.name} byte {int(address):#x} of its {item.name} at {item.address:#x}."
    )
