"""Bytes to other places within FSPM: the loops of a Move as two views of equal shape."""

from __future__ import annotations

from collections.abc import Mapping

from knightlite.isa import Move, Space
from knightlite.sim.memory import Bytes, byte_view
from knightlite.sim.rounding import Calls, copied


class MoveStep:
    """One Move: source and destination share no byte, so the order of turns does not matter."""

    def __init__(self, item: Move, memories: Mapping[Space, Bytes]) -> None:
        self._source, self._target = (
            byte_view(memories[Space.FSPM], operand) for operand in item.operands()
        )

    def bind(self) -> None:
        """Nothing to do: a move needs no scratch."""

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return [copied(self._target, self._source)]

    def run(self) -> int:
        """Execute; a move saturates nothing."""
        self._target[...] = self._source
        return 0
