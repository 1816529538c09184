"""The sentence of a machine that stops: which instruction, of which layer, and why."""

from __future__ import annotations

from collections.abc import Sequence

from knightlite.errors import MachineError
from knightlite.isa import Instruction


def describe(index: int, instruction: Instruction, layers: Sequence[str]) -> str:
    """``instruction 7 (matrix, layer conv1)``."""
    known = instruction.layer < len(layers)
    layer = layers[instruction.layer] if known else f"number {instruction.layer}"
    return f"instruction {index} ({instruction.MNEMONIC}, layer {layer})"


def fault(
    index: int, instruction: Instruction, layers: Sequence[str], sentence: str
) -> MachineError:
    """A MachineError about one instruction."""
    return MachineError(f"{describe(index, instruction, layers)} {sentence}")
