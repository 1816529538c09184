"""Why bytes move: every byte that the DDR moves belongs to one cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knightlite.chip import Chip
from knightlite.container import Program
from knightlite.isa import Instruction, Load, Store, Transfer

CAUSES: Mapping[str, str] = {
    "constants": "weights, parameters and tables, once",
    "constants_again": "the same again: the scratchpads did not keep them",
    "ends": "inputs and outputs of the network",
    "features": "features between layers",
    "padding": "burst padding: bytes beside those asked for",
}


def ddr_bytes_by_cause(
    program: Program, instructions: Sequence[Instruction], chip: Chip
) -> dict[str, int]:
    """Bytes by the keys of CAUSES; together the bytes of all bursts.

    A constant counts as loaded again where its bytes begin at an address that was loaded before.
    """
    meta = program.meta
    inputs = [(tensor.address, tensor.end) for tensor in meta.inputs]
    found = dict.fromkeys(CAUSES, 0)
    loaded: set[int] = set()
    for number, item in enumerate(instructions):
        if not isinstance(item, Transfer):
            continue
        at, size = item.ddr_address, item.payload_bytes
        if inputs and isinstance(item, Store):  # an input's place is used again
            side = item.ddr_side(True)
            inputs = [one for one in inputs if side.last <= one[0] or one[1] <= side.address]
        if isinstance(item, Load) and at < meta.constants_bytes:
            cause = "constants_again" if at in loaded else "constants"
            loaded.add(at)
        else:
            outputs = [(one.address, one.end) for one in meta.outputs if one.first <= number]
            outside = any(first <= at < last for first, last in (*inputs, *outputs))
            cause = "ends" if outside else "features"
        found[cause] += size
        found["padding"] += item.ddr_bytes(chip) - size
    return found
