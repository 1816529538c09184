"""The transfer engines: strided copies between DDR and a scratchpad."""

from __future__ import annotations

from collections.abc import Mapping

from knightlite.isa import Operand, Space, Transfer
from knightlite.sim.initialised import merged
from knightlite.sim.memory import Bytes, byte_view


class TransferStep:
    """One load or store, as a copy between two views of equal shape."""

    def __init__(self, item: Transfer, memories: Mapping[Space, Bytes]) -> None:
        source, target = item.operands()
        flat = [merged(operand) for operand in (source, target)]
        if (flat[0].rows, flat[0].columns) == (flat[1].rows, flat[1].columns):
            source, target = flat
        self._source = _view(memories, source)
        self._target = _view(memories, target)

    def bind(self) -> None:
        """Nothing to do: a copy needs no scratch."""

    def run(self) -> int:
        """Execute; a copy saturates nothing."""
        self._target[...] = self._source
        return 0


def _view(memories: Mapping[Space, Bytes], operand: Operand) -> Bytes:
    return byte_view(memories[operand.space], operand)
