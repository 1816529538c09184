"""The transfer engines: strided copies between DDR and a scratchpad."""

from __future__ import annotations

from collections.abc import Mapping

from knightlite.isa import Space, Transfer
from knightlite.sim.initialised import merged
from knightlite.sim.memory import Bytes, byte_view
from knightlite.sim.rounding import Calls, copied


class TransferStep:
    """One load or store, as a copy between two views of equal shape.

    ``constants``: bytes at the start of DDR that all pictures share.
    """

    def __init__(self, item: Transfer, memories: Mapping[Space, Bytes], constants: int) -> None:
        source, target = item.operands()
        shared = source.space == Space.DDR and source.last <= constants
        flat = [merged(operand) for operand in (source, target)]
        if (flat[0].rows, flat[0].columns) == (flat[1].rows, flat[1].columns):
            source, target = flat
        self._source = byte_view(memories[source.space], source)
        self._target = byte_view(memories[target.space], target)
        if shared:
            self._source = self._source[:1]

    def bind(self) -> None:
        """Nothing to do: a copy needs no scratch."""

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return [copied(self._target, self._source)]

    def run(self) -> int:
        """Execute; a copy saturates nothing."""
        self._target[...] = self._source
        return 0
