"""What FSPM would hold at most if every feature tensor stayed there whole, from first to last use.

For layers in a given order, and whatever the addresses: no allocation of whole tensors takes less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from knightlite.allocate import Buffer, Place, layers
from knightlite.ir import Graph
from knightlite.lower import work_of


def live_bytes(blocks: Sequence[Buffer], in_place: Mapping[str, str]) -> int:
    """The largest sum of bytes that are alive during one layer.

    What lies inside another tensor (Concat, Slice) is one buffer with it. ``in_place``: by the
    buffer that a layer writes first, the one that it may be written over, see :func:`overwritten`.
    """
    by_name = {block.name: block for block in blocks}

    def alive(moment: int) -> int:
        held = [block for block in blocks if block.first <= moment <= block.last]
        saved = sum(
            min(block.size_bytes, by_name[in_place[block.name]].size_bytes)
            for block in held
            if block.first == moment and block.name in in_place
        )
        return sum(block.size_bytes for block in held) - saved

    return max((alive(block.first) for block in blocks), default=0)


def overwritten(
    graph: Graph, places: Mapping[str, Place], blocks: Sequence[Buffer]
) -> dict[str, str]:
    """Buffers that a layer may write over an operand's, value by value, as it is read last there.

    The operand is one that is read where the output is written: the second of a layer, or the
    only one of a layer without a window.
    """
    lives = {block.name: (block.first, block.last) for block in blocks}
    found: dict[str, str] = {}
    for index, node in enumerate(layers(graph)):
        work = work_of(graph, node)
        output = graph.tensors[work.y]
        size, written = (output.shape, output.dtype.size_bytes), places[work.y].buffer
        if lives[written][0] != index:
            continue  # other parts of it are there already
        read_in_place = [work.z]
        if work.channelwise and work.weight_bytes is None and work.input_rows((1, 2)) == (1, 2):
            read_in_place.append(work.x)
        for name in read_in_place:
            operand = graph.tensors[name] if name is not None else None
            if operand is None or (operand.shape, operand.dtype.size_bytes) != size:
                continue
            source = places[operand.name].buffer
            if source != written and lives[source][1] == index:
                found[written] = source
                break
    return found
